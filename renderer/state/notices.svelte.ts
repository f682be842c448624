/** @file What the window says unasked: toasts, what only screen readers hear, and questions. */
import { untrack } from 'svelte';
import type { Action } from '../../electron/contract/errors.ts';

export interface Toast {
  readonly id: number;
  readonly kind: 'done' | 'failed' | 'told';
  readonly text: string;
  /** The sentence is the host's: English. */
  readonly fromHost: boolean;
  readonly buttons: readonly { readonly label: string; readonly run: () => void }[];
  /** Stays until it is closed. */
  readonly stays: boolean;
}
export interface Question {
  readonly title: string;
  readonly text: string;
  readonly confirm: string;
  readonly danger: boolean;
  readonly answer: (yes: boolean) => void;
}
/** What mends a failure, for each action that a failure may name; given by the app, which knows the way. */
export type Mends = Readonly<Partial<Record<Action, { readonly label: string; readonly run: () => void }>>>;

/** Milliseconds a toast is shown; longer where it can be undone, and never while somebody points at it or stands in it. */
export const shownFor = { done: 4000, told: 6000, failed: 12_000, undo: 9000 } as const;

export class Notices {
  toasts = $state<Toast[]>([]);
  /** For the polite live region. */
  said = $state('');
  question = $state<Question>();
  #next = 1;

  toast(toast: Pick<Toast, 'text'> & Partial<Omit<Toast, 'id' | 'text'>>): number {
    const id = this.#next++;
    // the same sentence twice is one: it comes up again
    const whole: Toast = { kind: 'done', fromHost: false, buttons: [], stays: false, ...toast, id };
    this.toasts = [...this.toasts.filter(t => t.text !== toast.text), whole].slice(-4);
    return id;
  }
  close(id: number): void {
    this.toasts = this.toasts.filter(t => t.id !== id);
  }
  /** Said to screen readers; the same words twice are said twice. */
  say(text: string): void {
    this.said = untrack(() => this.said) === text ? `${text} ` : text; // whoever says something in an effect does not listen for it
  }
  /** Asks before what cannot be undone. */
  ask(question: Omit<Question, 'answer' | 'danger'> & { readonly danger?: boolean }): Promise<boolean> {
    this.question?.answer(false);
    return new Promise(resolve => {
      this.question = {
        danger: false,
        ...question,
        answer: yes => {
          this.question = undefined;
          resolve(yes);
        },
      };
    });
  }
}

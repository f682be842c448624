/** @file The window's state, put together: what views get by `useApp`. */
import { createContext } from 'svelte';
import { api as table } from '../../electron/contract/api.ts';
import { actionOf, type Action } from '../../electron/contract/errors.ts';
import { event as eventSchema, type StudioEvent } from '../../electron/contract/events.ts';
import { client } from '../../electron/contract/rpc.ts';
import type { ConnectionState, Host } from '../host/host.ts';
import { t } from '../words/index.svelte.ts';
import {
  Adapters,
  asStudioError,
  Checkpoints,
  Clips,
  Downloads,
  Exports,
  Jobs,
  MachineState,
  SettingsState,
  Subjects,
  type Client,
  type On,
} from './collections.svelte.ts';
import { ClipSet } from './clip-set.svelte.ts';
import { DraftState } from './draft.svelte.ts';
import { Keys } from './keys.svelte.ts';
import { Notices } from './notices.svelte.ts';
import { Route } from './route.svelte.ts';
import { Undo, type Step } from './undo.svelte.ts';

export class App {
  readonly host: Host;
  readonly api: Client;
  readonly on: On;
  connection = $state<ConnectionState>('connecting');
  /** The queue's drawer is open. */
  queueOpen = $state(false);
  /** What this host can do; everything that needs the desktop is off until it has said so. */
  can = $state.raw({ paths: false, dragOut: false, reveal: false, pickFolder: false });

  readonly route = new Route();
  readonly notices = new Notices();
  readonly undo = new Undo();
  readonly draft = new DraftState();
  readonly keys: Keys;
  readonly subjects: Subjects;
  readonly jobs: Jobs;
  readonly clips: Clips;
  readonly checkpoints: Checkpoints;
  readonly adapters: Adapters;
  readonly downloads: Downloads;
  readonly exports: Exports;
  readonly settings: SettingsState;
  readonly machine: MachineState;

  constructor(host: Host) {
    this.host = host;
    const api = (this.api = client(table, host.transport));
    const listeners = new Map<string, Set<(event: never) => void>>();
    this.on = (type, listener) => {
      const there = listeners.get(type) ?? listeners.set(type, new Set()).get(type)!;
      there.add(listener);
      return () => there.delete(listener);
    };
    host.transport.subscribe(said => {
      const parsed = eventSchema.safeParse(said);
      if (!parsed.success) return; // a kind that this window does not know yet
      for (const listener of [...(listeners.get(parsed.data.type) ?? [])]) (listener as (event: StudioEvent) => void)(parsed.data);
    });
    this.subjects = new Subjects(api, this.on);
    this.jobs = new Jobs(api, this.on);
    this.clips = new Clips(api, this.on);
    this.checkpoints = new Checkpoints(api, this.on);
    this.adapters = new Adapters(api, this.on);
    this.downloads = new Downloads(api, this.on);
    this.exports = new Exports(api, this.on);
    this.settings = new SettingsState(api, this.on);
    this.machine = new MachineState(api);
    this.keys = new Keys(() => this.settings.now);
    this.on('notice', ({ text }) => this.notices.toast({ kind: 'told', text, fromHost: true }));
    host.watch(state => {
      this.connection = state;
      if (state === 'online')
        void api.host.describe(undefined).then(
          ({ can }) => (this.can = can),
          () => undefined,
        );
    });
  }

  go(hash: string, replace = false): void {
    this.route.go(hash, replace);
  }
  clipSet(): ClipSet {
    return new ClipSet(this.api, this.clips);
  }
  say(text: string): void {
    this.notices.say(text);
  }
  toast(toast: Parameters<Notices['toast']>[0]): number {
    return this.notices.toast(toast);
  }
  ask(question: Parameters<Notices['ask']>[0]): Promise<boolean> {
    return this.notices.ask(question);
  }

  /** Does something that the person has asked for. What is refused is said, with the button that mends it; what can be undone offers that.
   * @param label what was done, as a sentence: `3 clips in the trash`; undefined: success is seen without words
   * @param undo takes it back; it gets what `work` gave
   * @returns what `work` gave; undefined where it was refused */
  act<T>(label: string | undefined, work: () => Promise<T>, undo?: (done: T) => Promise<unknown>): Promise<T | undefined> {
    return this.undo.during(() => this.#act(label, work, undo));
  }
  async #act<T>(label: string | undefined, work: () => Promise<T>, undo?: (done: T) => Promise<unknown>): Promise<T | undefined> {
    let done: T;
    try {
      done = await work();
    } catch (error) {
      this.failed(error, () => void this.act(label, work, undo));
      return undefined;
    }
    if (undo) {
      let now = done;
      const step: Step = {
        label: label ?? '',
        undo: () => undo(now),
        redo: async () => {
          now = await work();
        },
      };
      this.undo.push(step);
      if (label !== undefined) this.toast({ text: label, buttons: [{ label: t('frame.undo'), run: () => void this.takeBack(step) }] });
    } else if (label !== undefined) this.toast({ text: label });
    return done;
  }
  /** Says why something failed, with the one button that mends it. */
  failed(error: unknown, again?: () => void): void {
    const { code, message } = asStudioError(error);
    if (code === 'canceled') return;
    const mend = this.mend(actionOf[code], again);
    this.toast({ kind: 'failed', text: message, fromHost: true, buttons: mend ? [mend] : [] });
  }
  /** The button that mends a failure, where one press can. */
  mend(action: Action, again?: () => void): { label: string; run: () => void } | undefined {
    const label = t(`frame.${action}`);
    switch (action) {
      case 'retry':
        return again && { label, run: again };
      case 'freeSpace':
        return { label, run: () => this.go('#/settings/storage') };
      case 'chooseDevice':
        return { label, run: () => this.go('#/settings/devices') };
      case 'restoreBackup':
        return { label, run: () => this.go('#/settings/storage') };
      case 'enterToken':
        return { label, run: () => this.go('#/settings/network?at=token') };
      default:
        return undefined; // where the person stands it can be changed
    }
  }
  async takeBack(step?: Step): Promise<void> {
    try {
      const what = await this.undo.undo(step);
      this.toast({ text: what === undefined ? t('frame.nothingToUndo') : t('frame.undone', { what }) });
    } catch (error) {
      this.failed(error, () => void this.takeBack(step));
    }
  }
  async doAgain(): Promise<void> {
    try {
      const what = await this.undo.redo();
      if (what !== undefined) this.toast({ text: t('frame.redone', { what }) });
    } catch (error) {
      this.failed(error);
    }
  }
}
export const [useApp, provideApp] = createContext<App>();

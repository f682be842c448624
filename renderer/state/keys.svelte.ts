/** @file Shortcuts: every action of the window that has keys, what they are now, and which action is meant by a key that is pressed. */
import { untrack } from 'svelte';
import type { Settings } from '../../electron/contract/records.ts';

export interface Shortcut {
  /** `queue.toggle`: what settings remember. */
  readonly id: string;
  /** In the language that is set now. */
  readonly label: () => string;
  /** As they come: `Mod+K`, `Shift+ArrowUp`, `G`; null: none until somebody chooses some. `Mod` is Control, on a Mac Command. */
  readonly keys: string | null;
  readonly run: (event: KeyboardEvent) => void;
  /** Where it does nothing now, so that another one may be meant. */
  readonly when?: () => boolean;
  /** Also while somebody types in a field. */
  readonly always?: boolean;
  /** Never while somebody types in a field: there the keys are the field's own. */
  readonly outsideText?: boolean;
}

const mac = /mac/i.test(navigator.platform);
const order = ['Mod', 'Ctrl', 'Alt', 'Shift'];
/** How a chord is written: modifiers in one order, then the key as the keyboard says it, letters as capitals. */
export function chordOf(event: Pick<KeyboardEvent, 'key' | 'code' | 'ctrlKey' | 'metaKey' | 'altKey' | 'shiftKey'>): string | undefined {
  if (['Control', 'Meta', 'Alt', 'Shift', 'AltGraph', 'Dead', 'Process', 'Unidentified', 'CapsLock'].includes(event.key)) return undefined;
  const held = new Set<string>();
  if (mac ? event.metaKey : event.ctrlKey) held.add('Mod');
  if (mac && event.ctrlKey) held.add('Ctrl');
  if (event.altKey) held.add('Alt');
  // a sign that needs Shift is the sign: `?`, not Shift+?
  if (event.shiftKey && (event.key.length > 1 || /\p{L}/u.test(event.key) || event.key === ' ')) held.add('Shift');
  // letters of other scripts lie on the keys where Latin ones lie
  const latin = /^Key([A-Z])$/.exec(event.code)?.[1];
  const key =
    event.key === ' '
      ? 'Space'
      : event.key.length === 1
        ? /[a-z]/i.test(event.key)
          ? event.key.toUpperCase()
          : (latin ?? event.key)
        : event.key;
  return [...order.filter(m => held.has(m)), key].join('+');
}
const names: Readonly<Record<string, string>> = {
  ArrowUp: '↑', ArrowDown: '↓', ArrowLeft: '←', ArrowRight: '→', Escape: 'Esc', Delete: 'Del', Backspace: '⌫', Enter: '↵', ' ': 'Space',
  ...(mac && { Mod: '⌘', Alt: '⌥', Shift: '⇧', Ctrl: '⌃' }),
}; // prettier-ignore
/** Its keys, one by one, as they are shown. */
export const keyNames = (chord: string): string[] => chord.split(/\+(?!$)/).map(k => names[k] ?? (k === 'Mod' ? 'Ctrl' : k));
const types = (target: EventTarget | null) =>
  target instanceof HTMLElement &&
  (target.isContentEditable ||
    (target.matches('input, textarea, select') && !target.matches('[type=checkbox], [type=radio], [type=range], [type=button]')));

export class Keys {
  #all = $state.raw<readonly Shortcut[]>([]);
  #settings: () => Pick<Settings, 'shortcuts'>;
  /** While somebody chooses new keys, none is an action. */
  recording = $state(false);

  constructor(settings: () => Pick<Settings, 'shortcuts'>) {
    this.#settings = settings;
    addEventListener('keydown', event => this.#press(event));
  }

  /** All that exist now, by id; of two with one id the later one counts. */
  get all(): readonly Shortcut[] {
    return [...new Map(this.#all.map(s => [s.id, s])).values()];
  }
  /** Adds shortcuts; returns how to take them away (for `$effect`). */
  register(shortcuts: readonly Shortcut[]): () => void {
    this.#all = [...untrack(() => this.#all), ...shortcuts];
    return () => (this.#all = untrack(() => this.#all).filter(s => !shortcuts.includes(s)));
  }
  /** The keys of an action as they are set; null: none. */
  keysOf(id: string): string | null {
    const own = this.#settings().shortcuts[id];
    return own !== undefined ? own : (this.#all.findLast(s => s.id === id)?.keys ?? null);
  }
  /** The actions that would answer to the same keys. */
  conflicts(id: string, chord: string): readonly Shortcut[] {
    return this.all.filter(s => s.id !== id && this.keysOf(s.id) === chord);
  }
  /** Does what an action's keys would do where the person is now: in the editor of a photo Undo is the editor's. Of a text that has the focus it is the text's own.
   * @returns whether there is such an action */
  act(id: string): boolean {
    const own = this.all.find(s => s.id === id);
    if (!own) return false;
    const keys = this.keysOf(id) ?? own.keys;
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is no other way to a text's own undo
    if (own.outsideText === true && types(document.activeElement)) document.execCommand(id);
    else (this.#meant(s => s.id === id || (this.keysOf(s.id) === keys && keys !== null)) ?? own).run(new KeyboardEvent('keydown'));
    return true;
  }
  /** The latest that was added is the innermost: a dialog before its page. */
  #meant(is: (shortcut: Shortcut) => boolean): Shortcut | undefined {
    return this.all.findLast(s => is(s) && s.when?.() !== false);
  }
  #press(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.isComposing || this.recording) return;
    const chord = chordOf(event);
    if (chord === undefined) return;
    const typing = types(event.target);
    const held = (s: Shortcut) => typing && !s.always && (s.outsideText === true || !/^(Mod|Alt|Ctrl)\+|^F\d/.test(chord));
    const shortcut = this.#meant(s => this.keysOf(s.id) === chord && !held(s));
    if (!shortcut) return;
    event.preventDefault();
    shortcut.run(event);
  }
}

/** @file What the window's preload gives its page as `window.protagonist`. Whatever a page says here is parsed by the main process, which answers with a `Reply`. */

/** What the system's dialog is to look for: photos, one photo, a folder, a file of weights, a clip, whatever may say what made it (`made`). */
export const pickKinds = ['photos', 'photo', 'folder', 'model', 'clip', 'made'] as const;
export type PickKind = (typeof pickKinds)[number];
/** What dialogs have a name for. */
export type FileKind = Exclude<PickKind, 'photo' | 'folder'>;
/** Where something that is yet to be made shall lie: a file's name, or a folder's where it has no ending. */
export interface Target {
  readonly target: string;
}

/** What the page is asked to do: one of its own shortcuts by its id, a place of it by its address; or to show what made these files. */
export type AskedOfPage = { readonly action: string } | { readonly opened: readonly { readonly id: string; readonly name: string }[] };

/** What is to be saved: a file of the library, one that was kept (`keep`), or several clips into one folder. */
export type Saving =
  | { readonly id: string; readonly kind: string; readonly name: string }
  | { readonly kept: string; readonly name: string }
  | { readonly clips: readonly { readonly id: string; readonly name: string }[] };

/** Of all of them: a promise of a `Reply`, not parsed. */
type Asked = Promise<unknown>;
export interface Bridge {
  /** One message of a wire.
   * @param line a number that the page draws for each wire, so that nothing meant for an earlier page is taken for its own
   * @param said the message as JSON; a number: characters taken of what has come; null: the end */
  send(line: number, said: string | number | null): void;
  /** Calls `listener` with each message; returns how to stop. */
  receive(listener: (line: number, said: string | null) => void): () => void;
  /** Where a file lies that was dropped or chosen, as a place; undefined for one that lies nowhere: a pasted picture. */
  path(file: File): Asked | undefined;
  /** Leaves a file's bytes with the main process until they are used. */
  keep(name: string, bytes: Uint8Array): Asked;
  /** Lets the person choose; places, none where nothing was chosen. The place of a target goes where `exports.start` takes a path, once. */
  pick(what: PickKind | Target): Asked;
  /** Asks the person where to, and writes it there. */
  save(what: Saving): Asked;
  /** Begins to drag files out of the window. */
  drag(ids: readonly string[]): Asked;
  /** Shows a file in the system's file manager. */
  reveal(id: string): Asked;
  /** Calls `listener` with what the menu, a notification or the system asks of the page (`asked`); returns how to stop. */
  asked(listener: (said: unknown) => void): () => void;
}

/** @file What carries the window: a browser's page over HTTP today, the desktop shell through the same members. */
import type { z } from 'zod';
import type { mediaKinds, Source } from '../../electron/contract/api.ts';
import type { AskedOfPage, PickKind } from '../../electron/contract/bridge.ts';
import type { Transport } from '../../electron/contract/rpc.ts';

export type MediaKind = (typeof mediaKinds)[number];
export type ConnectionState = 'connecting' | 'online' | 'lost';
/** A folder that the host lets its clients look into, or what lies in one. */
export interface Place {
  readonly id: string;
  readonly name: string;
}
export interface Listing extends Place {
  readonly entries: readonly (Place & { readonly kind: 'folder' | 'file'; readonly bytes: number })[];
  /** Not all of it is told. */
  readonly more: boolean;
}

export interface Host {
  readonly transport: Transport;
  /** Calls `listener` now and whenever the way to the host opens or is lost. */
  watch(listener: (state: ConnectionState) => void): () => void;
  /** Tries to reach a lost host now. */
  again(): void;
  /** Where a picture or a video can be loaded from.
   * @param version changes when the content may have: another one is loaded anew */
  media(id: string, kind: MediaKind, version?: string | number): string;
  /** Brings a file to the host; what it gives back goes wherever the API takes a `path`.
   * @param progress told how much of it has gone, 0 to 1
   * @throws StudioError with the host's sentence; `canceled` when `signal` aborts */
  send(file: Blob, name: string, options?: { signal?: AbortSignal; progress?: (part: number) => void }): Promise<{ path: string }>;
  /** Lets the person keep something under a name: a download, or a dialog that asks where.
   * @param what the address (`media`) of a file of the host's, or bytes that the window made */
  save(what: string | Blob, name: string): void;
  /** The folders that may be looked into; none where the host has a dialog of its own (`can.pickFolder`). */
  roots(): Promise<readonly Place[]>;
  look(id: string): Promise<Listing>;
  /** What only our own program does: `can` says it, too. */
  readonly desktop?: Desktop;
}

/** Clips that are saved, or files that are dragged, at once. */
export const mostTogether = 200;

/** Each throws a StudioError with the host's sentence. */
export interface Desktop {
  /** Lets the person choose in the system's dialog; the ids go wherever the API takes a `path`. Nothing where nothing was chosen. */
  pick(kind: PickKind): Promise<Listing['entries']>;
  /** Lets the person choose where something is to be made: the id goes where `exports.start` takes a path, once, and may replace what is there.
   * @param name with its ending; without one it is a folder
   * @returns undefined where nothing was chosen */
  target(name: string): Promise<Place | undefined>;
  /** Where a small picture of a photo that was chosen can be loaded from, by its id; nothing comes of what is no photo. */
  picture(id: string): string;
  /** What a file is that was dropped or pasted; undefined for one that lies nowhere. A folder comes as a file, too. */
  place(file: File): Promise<Listing['entries'][number] | undefined>;
  /** Saves clips into a folder that the person chooses; nothing there is replaced.
   * @param clips at most `mostTogether`
   * @returns how many */
  saveClips(clips: readonly { readonly id: string; readonly name: string }[]): Promise<number>;
  /** To be called where a drag begins, its own being prevented: files of clips, photos, exports leave the window, at most `mostTogether`. */
  drag(ids: readonly string[]): Promise<void>;
  /** Shows a file in the system's file manager: of a clip, a photo, an export; where a checkpoint or an adapter lies. */
  reveal(id: string): Promise<void>;
  /** Calls `listener` with what the menu or the system asks of the window; returns how to stop. */
  asked(listener: (said: AskedOfPage) => void): () => void;
}
export type { Source };
export type Parsed<S extends z.ZodType> = z.output<S>;

/** @file What the host finds wrong with a subject's photos, kept up with them. */
import type { SubjectId } from '../../electron/contract/ids.ts';
import type { Photo } from '../../electron/contract/records.ts';
import type { Client } from './collections.svelte.ts';

export type Finding = Awaited<ReturnType<Client['photos']['check']>>['findings'][number] & { readonly problem: string };
const none: readonly Finding[] = [];
/** Milliseconds: several photos that come at once are looked at once. */
const patience = 500;

export class PhotoChecks {
  looking = $state(false);
  /** They have been looked at as they are. */
  done = $state(false);
  #findings = $state.raw<ReadonlyMap<string, readonly Finding[]>>(new Map());
  /** Photos with something to know. */
  readonly flagged = $derived(this.#findings.size);
  #asked = '';
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stop = new AbortController();
  readonly #api: Client;

  constructor(api: Client) {
    this.#api = api;
  }
  /** Of one photo; what is true of all of them together is in nobody's list. */
  of(photoId: string): readonly Finding[] {
    return this.#findings.get(photoId) ?? none;
  }
  /** Looks, unless they have been looked at just so. */
  look(id: SubjectId, photos: readonly Photo[]): void {
    const asked = JSON.stringify([id, photos.map(p => [p.id, p.sha256, p.crop, p.mask, p.missing])]);
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.#stop.abort();
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.looking = true;
      this.#api.photos.check({ id }, signal).then(
        ({ findings }) => {
          if (signal.aborted) return;
          this.#findings = Map.groupBy(
            findings.filter(f => f.photoId !== null),
            f => f.photoId!,
          );
          this.looking = false;
          this.done = true;
        },
        () => {
          if (signal.aborted) return;
          this.looking = false; // it only advises: a failure here is no news
          this.#asked = '';
        },
      );
    }, patience);
  }
  close(): void {
    clearTimeout(this.#timer);
    this.#stop.abort();
  }
}

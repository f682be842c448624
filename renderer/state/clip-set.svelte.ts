/** @file The clips that a search finds, as ids in order: what a grid of any length shows parts of. */
import type { ClipSearch } from '../../electron/contract/api.ts';
import type { StudioError } from '../../electron/contract/errors.ts';
import { rowOf, type ClipId } from '../../electron/contract/ids.ts';
import type { Clip } from '../../electron/contract/records.ts';
import { asStudioError, type Client, type Clips } from './collections.svelte.ts';

export type Wanted = Partial<Omit<ClipSearch, 'limit' | 'after'>>;

/** Clips that are read at once with their records, so that a first screen need not wait for the whole index. */
const firstScreen = 60;
/** Milliseconds: for which what happens to clips is gathered; and after which the host is asked again. */
const gathered = 40,
  patience = 150;
/** Milliseconds that the first screen's pictures have before the index is asked for. */
const head = 120;
/** From so many changes on, looking each up in a set is faster than in the list. */
const many = 16;

export class ClipSet {
  ids = $state.raw<readonly ClipId[]>([]);
  /** Whether `ids` is not yet, or not all of, what is searched for now. */
  loading = $state(true);
  failure = $state<StudioError>();
  #wanted: Wanted = {};
  #asked = 0;
  /** What has happened since `ids` was last brought up to date; null: gone for good. */
  #changes = new Map<ClipId, Clip | null>();
  /** What has happened since the list that is on its way was asked for, which may be from before it. */
  #since = new Map<ClipId, Clip | null>();
  #gathering: ReturnType<typeof setTimeout> | undefined;
  #reading: ReturnType<typeof setTimeout> | undefined;
  readonly #api: Client;
  readonly #clips: Clips;
  readonly #stops: (() => void)[];

  /** Follows what happens to clips until `close`. */
  constructor(api: Client, clips: Clips) {
    this.#api = api;
    this.#clips = clips;
    this.#stops = [
      clips.on('clip', ({ clip }) => this.#note(clip.id, clip)),
      clips.on('gone', ({ id }) => id.startsWith('c') && this.#note(id as ClipId, null)),
      clips.on('restored', () => this.#soon()),
    ];
  }
  search(wanted: Wanted): Promise<void> {
    this.#wanted = wanted;
    this.loading = true;
    return this.read();
  }
  async read(): Promise<void> {
    const mine = ++this.#asked;
    this.#since = new Map();
    try {
      const all = this.loading ? await this.#begin(mine) : undefined;
      if (mine !== this.#asked) return;
      const { ids } = all ? { ids: all } : await this.#api.clips.index(this.#wanted);
      if (mine !== this.#asked) return;
      this.ids = ids;
      for (const [id, clip] of this.#since) this.#note(id, clip);
      this.failure = undefined;
    } catch (error) {
      if (mine !== this.#asked) return;
      this.failure = asStudioError(error);
    }
    this.loading = false;
  }
  close(): void {
    clearTimeout(this.#gathering);
    clearTimeout(this.#reading);
    for (const stop of this.#stops) stop();
  }

  /** Shows the first ones, and lets their pictures come before the host is busy with the index.
   * @returns all that are found, where there are no more */
  async #begin(mine: number): Promise<ClipId[] | undefined> {
    const { clips, next } = await this.#api.clips.list({ ...this.#wanted, limit: firstScreen });
    const ids = clips.map(clip => clip.id);
    if (mine !== this.#asked) return ids;
    for (const clip of clips) this.#clips.put(clip);
    if (next === null) return ids;
    this.ids = ids;
    this.failure = undefined;
    await new Promise(done => setTimeout(done, head));
    return undefined;
  }
  #soon(): void {
    clearTimeout(this.#reading);
    this.#reading = setTimeout(() => void this.read(), patience);
  }
  #note(id: ClipId, clip: Clip | null): void {
    this.#changes.set(id, clip);
    this.#since.set(id, clip);
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#apply();
    }, gathered);
  }
  /** Whether a clip is among those that are searched for; undefined: only the host can say. */
  #belongs(clip: Clip): boolean | undefined {
    const { search, subject, tag, stars, trashed } = this.#wanted;
    if (clip.trashed !== (trashed ?? false) || clip.stars < (stars ?? 0)) return false;
    if (subject && !clip.subjects.some(s => s.id === subject)) return false;
    if (tag && !clip.tags.includes(tag)) return false;
    return search?.trim() ? undefined : true;
  }
  #apply(): void {
    const changes = this.#changes;
    this.#changes = new Map();
    const { sort = 'newest' } = this.#wanted;
    const present = changes.size > many ? new Set(this.ids) : undefined;
    const out = new Set<ClipId>(),
      come: ClipId[] = [];
    let again = false;
    for (const [id, clip] of changes) {
      const here = present ? present.has(id) : this.ids.includes(id),
        belongs = clip !== null && this.#belongs(clip);
      if (here && belongs === false) out.add(id);
      else if (!here && belongs === true && sort !== 'stars') come.push(id);
      // a clip that a word was taken from stays until the next search: nothing vanishes under somebody's hands
      else if (belongs !== false && (!here || sort === 'stars')) again = true;
    }
    if (out.size > 0) this.ids = this.ids.filter(id => !out.has(id));
    if (come.length > 0) this.ids = withNew(this.ids, come, sort === 'oldest' ? 1 : -1);
    if (again) this.#soon();
  }
}

/** Puts ids where they belong among those in order.
 * @param way 1: rising, -1: falling */
function withNew(ids: readonly ClipId[], come: readonly ClipId[], way: 1 | -1): ClipId[] {
  const order = (a: ClipId, b: ClipId) => way * (rowOf(a) - rowOf(b)),
    sorted = come.toSorted(order),
    all: ClipId[] = [];
  let from = 0;
  for (const id of sorted) {
    let [low, high] = [from, ids.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (order(ids[middle]!, id) < 0) low = middle + 1;
      else high = middle;
    }
    for (; from < low; from++) all.push(ids[from]!);
    all.push(id);
  }
  for (; from < ids.length; from++) all.push(ids[from]!);
  return all;
}

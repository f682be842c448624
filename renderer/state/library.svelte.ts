/** @file The library as somebody looks at it: what is searched for, what is selected, how large tiles are, and where the grid was left. */
import { z } from 'zod';
import { clipSort, type ClipSearch } from '../../electron/contract/api.ts';
import { clipId, subjectId, type ClipId } from '../../electron/contract/ids.ts';
import type { App } from './app.svelte.ts';
import type { ClipSet } from './clip-set.svelte.ts';

/** What is looked for, as the address has it. */
export type Look = Pick<ClipSearch, 'search' | 'sort' | 'subject' | 'tag' | 'stars' | 'trashed'>;
const everything: Look = { search: '', sort: 'newest', subject: null, tag: null, stars: 0, trashed: false };

/** What an address asks for; what it asks for in a way that nobody understands is left out. */
export function lookOf(query: URLSearchParams): Look {
  const given = <T>(name: string, schema: z.ZodType<T>, otherwise: T): T => {
    const parsed = schema.safeParse(query.get(name));
    return parsed.success ? parsed.data : otherwise;
  };
  return {
    search: (query.get('search') ?? '').slice(0, 1000),
    sort: given('sort', z.enum(clipSort), everything.sort),
    subject: given('subject', subjectId.nullable(), null),
    tag: given('tag', z.string().min(1).max(60).nullable(), null),
    stars: given('stars', z.string().regex(/^[1-5]$/).transform(Number), 0), // prettier-ignore
    trashed: query.get('trash') === '1',
  };
}
/** The address of a search, or of a clip among those that it finds. */
export function addressOf(look: Partial<Look>, id?: string): string {
  const { search, sort, subject, tag, stars, trashed } = { ...everything, ...look };
  const query = new URLSearchParams({
    ...(search.trim() !== '' && { search }),
    ...(subject !== null && { subject }),
    ...(tag !== null && { tag }),
    ...(stars > 0 && { stars: String(stars) }),
    ...(sort !== 'newest' && { sort }),
    ...(trashed && { trash: '1' }),
  }).toString();
  return `#/library${id === undefined ? '' : `/${id}`}${query === '' ? '' : `?${query}`}`;
}
/** Whether a search leaves something out. */
export const narrows = ({ search, subject, tag, stars }: Look): boolean =>
  search.trim() !== '' || subject !== null || tag !== null || stars > 0;

/** Ids in an address: `c1,c2`. */
export const idsOf = (list: string | null): ClipId[] =>
  [...new Set((list ?? '').split(','))].filter(id => clipId.safeParse(id).success) as ClipId[];

export const tileSizes = ['s', 'm', 'l'] as const;
export type TileSize = (typeof tileSizes)[number];
const sizeKey = 'protagonist.tiles';

/** Work that goes from clip to clip, as far as it is. */
export interface Busy {
  readonly done: number;
  readonly of: number;
  readonly stop: () => void;
}

export class LibraryState {
  /** What the search of the address finds. It stays when the library is left, so that coming back is instant. */
  readonly set: ClipSet;
  selected = $state.raw<ReadonlySet<ClipId>>(new Set());
  /** Where a range of the selection begins. */
  anchor: ClipId | undefined;
  /** The tile that the keyboard is at. */
  active = $state<ClipId>();
  size = $state<TileSize>(tileSizes.find(size => size === localStorage.getItem(sizeKey)) ?? 'm');
  /** Pixels that the grid was scrolled to. */
  scrolled = 0;
  busy = $state.raw<Busy>();
  #looked: string | undefined;

  constructor(app: App) {
    this.set = app.clipSet();
    app.on('gone', ({ id }) => {
      if (this.selected.has(id as ClipId)) this.select([...this.selected].filter(other => other !== id));
    });
  }
  /** Searches, unless that is what is shown. */
  look(look: Look): void {
    const address = addressOf(look);
    if (address === this.#looked) return;
    if (this.#looked !== undefined) {
      this.scrolled = 0;
      this.active = undefined;
      this.select([]);
    }
    this.#looked = address;
    void this.set.search(look);
  }
  resize(size: TileSize): void {
    this.size = size;
    localStorage.setItem(sizeKey, size);
  }

  select(ids: Iterable<ClipId>): void {
    this.selected = new Set(ids);
  }
  toggle(id: ClipId): void {
    const selected = new Set(this.selected);
    if (!selected.delete(id)) selected.add(id);
    this.selected = selected;
    this.anchor = id;
  }
  /** From where the range begins to here, beside what was selected before with `more`. */
  range(to: ClipId, more = false): void {
    const { ids } = this.set,
      start = this.anchor === undefined ? -1 : ids.indexOf(this.anchor),
      end = ids.indexOf(to);
    if (end < 0) return;
    if (start < 0) this.anchor = to;
    const [from, until] = start < 0 ? [end, end] : [Math.min(start, end), Math.max(start, end)];
    this.select([...(more ? this.selected : []), ...ids.slice(from, until + 1)]);
  }
  /** What an action is meant for, in the order of the grid: all that is selected, where this is among it, else this alone. */
  meant(id: ClipId | undefined = this.active): ClipId[] {
    if (id !== undefined && !this.selected.has(id)) return [id];
    const { selected } = this;
    return selected.size === 0 ? [] : this.set.ids.filter(other => selected.has(other));
  }
}

const states = new WeakMap<App, LibraryState>();
/** The one of this window. */
export function libraryOf(app: App): LibraryState {
  let state = states.get(app);
  if (!state) states.set(app, (state = new LibraryState(app)));
  return state;
}

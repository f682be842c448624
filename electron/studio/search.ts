/**
 * @file How clips are found: each word of a search anywhere in a clip's texts, in any script, among 100,000 clips within a frame or two.
 *
 * `clip_index` holds for each clip every run of one, two or three characters of its words, and facets: its stars, subjects, tags, whether it is in
 * the trash. SQLite's full-text index intersects their lists; row numbers are negated ids, so that the newest clip comes first in every list.
 * A longer word is looked for by the runs it is made of, which can occur without it: `clip_words` has the words themselves, and has the last say.
 */
import { createHash } from 'node:crypto';
import type { ClipSearch } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import { rowOf } from '../contract/ids.ts';
import type { Database } from './database.ts';

/** A clip as the index knows it. */
export interface IndexedClip {
  readonly id: number;
  /** Where its words are: prompts, name, names and handles of its subjects, tags. */
  readonly texts: readonly string[];
  readonly stars: number;
  readonly trashed: boolean;
  /** Rows of its subjects. */
  readonly subjects: readonly number[];
  readonly tags: readonly string[];
}

/** Longest run of characters in the index. A facet's name is longer, so that it never equals one. */
const longest = 3;
/** Most runs that a search is looked up by. */
const mostRuns = 12;
/** Up to so many clips are put in the order of their stars one by one; more are looked for star by star. */
const few = 500;

/** Compatibility forms taken apart, without marks and invisible characters. */
const plain = (text: string) => text.normalize('NFKD').replace(/[\p{M}\p{Cf}]/gu, '');
/**
 * Text as it is compared: compatibility forms, case and marks do not count (é is e, ﬁ is fi, ß is ss; Thai and Arabic vowel signs go), nor do
 * invisible characters. Characters of private use are all alike.
 */
export function normalize(text: string): string {
  const folded = plain(plain(text.toWellFormed()).toUpperCase().toLowerCase()); // by way of capitals, since only they make SS of ß
  return folded
    .replaceAll('ς', 'σ')
    .replace(/\p{Co}/gu, '\ufffd')
    .replace(/\p{Cc}/gu, ' ');
}

/** The distinct words of a text, normalised. */
export const wordsOf = (text: string): string[] => [
  ...new Set(
    normalize(text)
      .split(/\s+/u)
      .filter(w => w !== ''),
  ),
];

/** A word's characters as they stand in the index, whose tokens are letters and digits of ASCII and all else: its other signs move out of the way. */
const characters = (word: string): string[] =>
  Array.from(word, c => (c < '\u0080' && !/[a-z0-9]/.test(c) ? String.fromCharCode(0xe000 + c.charCodeAt(0)) : c));

/** Every run of 1 to 3 characters. */
function runs(word: string): string[] {
  const all = characters(word);
  return all.flatMap((_, i) => Array.from({ length: Math.min(longest, all.length - i) }, (_, n) => all.slice(i, i + n + 1).join('')));
}

/** The fewest runs of the greatest length that cover a word. */
function cover(word: string): string[] {
  const all = characters(word);
  const starts = Array.from({ length: Math.ceil(all.length / longest) }, (_, i) =>
    Math.max(0, Math.min(i * longest, all.length - longest)),
  );
  return starts.map(i => all.slice(i, i + longest).join(''));
}

const starFacet = (stars: number) => `stars${stars}`;
const subjectFacet = (row: number) => `subject${row}`;
const tagFacet = (tag: string) => `tag${createHash('sha256').update(tag).digest('hex').slice(0, 24)}`;
const placeFacet = (trashed: boolean) => (trashed ? 'trash' : 'live');

/** Puts a clip into the index, in place of what was known of it. Belongs into the transaction that changes the clip. */
export function indexClip(db: Database, { id, texts, stars, trashed, subjects, tags }: IndexedClip): void {
  const words = [...new Set(texts.flatMap(wordsOf))];
  const tokens = new Set(words.flatMap(runs));
  for (const facet of [placeFacet(trashed), starFacet(stars), ...subjects.map(subjectFacet), ...tags.map(tagFacet)]) tokens.add(facet);
  db.run('DELETE FROM clip_index WHERE rowid = ?', -id);
  db.run('INSERT INTO clip_index (rowid, tokens) VALUES (?, ?)', -id, [...tokens].join(' '));
  db.run('INSERT OR REPLACE INTO clip_words (clip, words) VALUES (?, ?)', id, words.join('\n'));
}

/** Takes a clip out of the index. */
export function unindexClip(db: Database, id: number): void {
  db.run('DELETE FROM clip_index WHERE rowid = ?', -id);
  db.run('DELETE FROM clip_words WHERE clip = ?', id);
}

type Wanted = Pick<ClipSearch, 'search' | 'subject' | 'tag' | 'trashed'>;
/** What a search looks up in the index, and the words that it looks at besides. */
function termsOf({ search, subject, tag, trashed }: Wanted): { terms: string[]; doubtful: string[] } {
  const words = wordsOf(search);
  const sought = [...new Set(words.flatMap(cover))].sort((a, b) => b.length - a.length).slice(0, mostRuns); // long runs are the rare ones
  const terms = [...sought, placeFacet(trashed)];
  if (subject !== null) terms.push(subjectFacet(rowOf(subject)));
  if (tag !== null) terms.push(tagFacet(tag));
  // a word that is one run, and is sought, is where the index says; the others are looked at
  return { terms, doubtful: words.filter(w => !sought.includes(characters(w).join(''))) };
}

/** Where a page ended: the order, the stars where they are the order, the clip's row. */
const cursor = /^([no]|s([0-5]))(\d{1,15})$/;

/**
 * Finds clips: row numbers in the order asked for, at most `limit`, and where to go on.
 * @throws StudioError `badInput` for an `after` that this order did not give
 */
export function searchClips(
  db: Database,
  { search, sort, subject, tag, stars, trashed, after, limit }: ClipSearch,
): { ids: number[]; next: string | null } {
  const { terms, doubtful } = termsOf({ search, subject, tag, trashed });
  const at = after === null ? undefined : cursor.exec(after);
  if (at === null || (at && at[1]![0] !== sort[0]))
    throw new StudioError(
      'badInput',
      `after: ${JSON.stringify(after)} is not where a page in this order (${sort}) ended: begin without it`,
    );

  const oldest = sort === 'oldest';
  const sql = `SELECT -i.rowid AS id FROM clip_index i ${doubtful.length ? 'CROSS JOIN clip_words w ON w.clip = -i.rowid' : ''}
    WHERE clip_index MATCH ? AND i.rowid ${oldest ? '<' : '>'} ? ${doubtful.map(() => 'AND instr(w.words, ?) > 0').join(' ')}
    ORDER BY i.rowid ${oldest ? 'DESC' : 'ASC'} LIMIT ?`;
  const end = oldest ? Number.MAX_SAFE_INTEGER : -Number.MAX_SAFE_INTEGER;
  const levels = [5, 4, 3, 2, 1, 0].filter(n => n >= stars);
  /** Clips with so many stars that lie beyond a row. */
  const look = (of: readonly number[], beyond: number | undefined, most: number): number[] => {
    const match = terms.map(t => `"${t}"`);
    if (of.length < 6) match.push(`(${of.map(n => `"${starFacet(n)}"`).join(' OR ')})`);
    return db.all<{ id: number }>(sql, match.join(' AND '), beyond === undefined ? end : -beyond, ...doubtful, most).map(r => r.id);
  };
  const row = at && Number(at[3]);
  const page = (found: readonly number[], mark: (id: number) => string) => {
    const ids = found.slice(0, limit);
    return { ids, next: found.length > limit ? `${mark(ids.at(-1)!)}${ids.at(-1)!}` : null };
  };
  if (sort !== 'stars') return page(look(levels, row, limit + 1), () => sort[0]!);

  const from = at ? Number(at[2]) : 5;
  const starsOf = new Map<number, number>();
  const mark = (id: number) => `s${starsOf.get(id)!}`;
  const all = look(levels, undefined, few + 1);
  if (all.length <= few) {
    for (const r of db.all<{ id: number; stars: number }>(
      'SELECT id, stars FROM clips WHERE id IN (SELECT value FROM json_each(?))',
      JSON.stringify(all),
    ))
      starsOf.set(r.id, r.stars);
    const order = (a: number, b: number) => starsOf.get(b)! - starsOf.get(a)! || b - a;
    const beyond = (id: number) => row === undefined || starsOf.get(id)! < from || (starsOf.get(id)! === from && id < row);
    return page(all.filter(beyond).sort(order), mark);
  }
  const found: number[] = [];
  for (const level of levels) {
    if (level > from || found.length > limit) continue;
    const ids = look([level], level === from ? row : undefined, limit + 1 - found.length);
    for (const id of ids) starsOf.set(id, level);
    found.push(...ids);
  }
  return page(found, mark);
}

/** All that `searchClips` would find, in its order: each clip's row number. */
export function indexOfClips(db: Database, { sort, stars, ...wanted }: Omit<ClipSearch, 'after' | 'limit'>): number[] {
  const { terms, doubtful } = termsOf(wanted);
  const sql = `SELECT group_concat(id) AS ids FROM (SELECT -i.rowid AS id FROM clip_index i ${doubtful.length ? 'CROSS JOIN clip_words w ON w.clip = -i.rowid' : ''}
    WHERE clip_index MATCH ? ${doubtful.map(() => 'AND instr(w.words, ?) > 0').join(' ')} ORDER BY i.rowid ${sort === 'oldest' ? 'DESC' : 'ASC'})`;
  /** Clips with so many stars; one text, since a hundred thousand rows as objects take longer than finding them. */
  const look = (of: readonly number[]): number[] => {
    const match = terms.map(t => `"${t}"`);
    if (of.length < 6) match.push(`(${of.map(n => `"${starFacet(n)}"`).join(' OR ')})`);
    const { ids } = db.get<{ ids: string | null }>(sql, match.join(' AND '), ...doubtful)!;
    return ids === null ? [] : ids.split(',').map(Number);
  };
  const levels = [5, 4, 3, 2, 1, 0].filter(n => n >= stars);
  return sort === 'stars' ? levels.flatMap(level => look([level])) : look(levels);
}

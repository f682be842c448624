/** @file Where a prompt names a subject by its `@handle`: the one reading of it, for whoever replaces handles and whoever only asks whether there are any. */
import { closest } from './closest.ts';

/** Scripts that put no space between words: there a handle ends where it ends. Hangul has spaces, but its particles follow at once. */
const unspaced =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Hangul}ー]/u;
const inHandle = /[\p{L}\p{M}\p{N}_-]/u;

/** The places where a handle begins, in order. `@@` and what looks like an address (`me@example.com`) are none.
 * @returns where its sign is, and the letters, digits, `-` and `_` behind it: the handle, or, as in `@kelp在海边`, more than that */
export function mentionsIn(prompt: string): { at: number; run: string }[] {
  const mentions: { at: number; run: string }[] = [];
  for (const { 0: all, index } of prompt.matchAll(/[@＠]+[\p{L}\p{M}\p{N}_-]*/gu)) {
    const run = all.slice(1),
      before = Array.from(prompt.slice(Math.max(0, index - 2), index)).at(-1) ?? '',
      address = inHandle.test(before) && !unspaced.test(before);
    if (!address && /^[\p{L}\p{N}]/u.test(run)) mentions.push({ at: index, run }); // a second sign is no letter
  }
  return mentions;
}

/** As handles are compared. */
export const fold = (s: string) => s.normalize('NFKC').toLowerCase();

/** The handle that begins this text: the longest that is known and ends where a word ends. `-` ends one only before letters (`@lemon-shaped`), so that a mistyped `@lemon-22` is not taken for `@lemon`.
 * @param run letters, digits, `-` and `_` */
export function longestHandle<T>(run: string, known: (handle: string) => T | undefined): { found: T; length: number } | undefined {
  const letters = Array.from(run);
  for (let n = Math.min(letters.length, 60); n > 0; n--) {
    const rest = letters.slice(n).join('');
    const ends =
      rest === '' || /^[-_]+$/.test(rest) || /^-\p{L}/u.test(rest) || unspaced.test(letters[n]!) || unspaced.test(letters[n - 1]!);
    if (!ends) continue;
    const head = letters.slice(0, n).join(''),
      found = known(fold(head));
    if (found !== undefined) return { found, length: head.length };
  }
  return undefined;
}

/** The handle that was meant: at most a third of its letters are changed, or one begins with the other. */
export const closestHandle = (word: string, handles: readonly string[]): string | undefined =>
  closest(
    word,
    handles,
    (changes, handle) =>
      changes <= Math.max(1, Math.min(3, Math.floor(word.length / 3))) || handle.startsWith(word) || word.startsWith(handle),
  );

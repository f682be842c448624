/** @file Where a prompt names a subject by its `@handle`: the one reading of it, for whoever replaces handles and whoever only asks whether there are any. */

/** Scripts that put no space between words: there a handle ends where it ends. Hangul has spaces, but its particles follow at once. */
export const unspaced =
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

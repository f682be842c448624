/** @file What somebody meant who mistyped a name. */

/** The name that takes the fewest changes of letters to become `word`; of several the first.
 * @param near whether a name that takes so many changes may be meant at all */
export function closest(word: string, names: readonly string[], near: (changes: number, name: string) => boolean): string | undefined {
  let best: { name: string; n: number } | undefined;
  for (const name of names) {
    const n = changes(word, name);
    if (near(n, name) && (!best || n < best.n)) best = { name, n };
  }
  return best?.name;
}
function changes(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

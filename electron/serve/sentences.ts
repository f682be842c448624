/** @file Sentences for a browser. Whoever writes one, the library's owner or an engine, may name places of this machine in it: what a browser reads has only their last names. */

/** A place and how it is called instead. */
export type Names = readonly (readonly [path: string, name: string])[];

/** A place of this machine up to its last name: from a root on, over names that end with nothing after which another one may begin (`to /b`, `see https:`). */
const place = /(?<![\p{L}\p{N}_.~%@\\/-])(?:file:\/\/)?(?:[A-Za-z]:[\\/]+|\\\\|\/)(?=[^\s\\/])(?:[^\\/\n]*[^\\/\s:;,="'`([][\\/]+)*/gu;

/** A sentence without places of this machine.
 * @param names what is called otherwise, by its path */
export function withoutPlaces(text: string, names: Names = []): string {
  let said = text;
  for (const [path, name] of [...names].sort(([a], [b]) => b.length - a.length)) {
    if (/^(?:[A-Za-z]:)?[\\/]*$/.test(path)) continue; // a root is in every path
    // of a neighbour whose name begins alike nothing is cut
    said = said.split(path).reduce((before, after) => before + (/^(?:[\p{L}\p{N}_-]|\.[\p{L}\p{N}])/u.test(after) ? path : name) + after);
  }
  return said.replace(place, '');
}

/** The fields of replies and events that hold sentences of ours: one, or a list of them. All else is what people wrote, and stays as it is. */
export const sentenceFields: ReadonlySet<string> = new Set(['text', 'sentence', 'what', 'database', 'unavailable', 'ffmpeg']);
export const sentenceLists: ReadonlySet<string> = new Set(['notes', 'notices', 'missing']);

/** Takes places out of all sentences in a reply or an event. The value itself is changed: it has come as JSON.
 * @returns the same value */
export function forBrowser<T>(value: T, names: Names = []): T {
  const inside: unknown[] = [value]; // no recursion: what a file remembers may be nested deeply
  for (const each of inside) {
    if (typeof each !== 'object' || each === null) continue;
    for (const [key, field] of Object.entries(each)) {
      if (typeof field === 'string') {
        if (sentenceFields.has(key)) (each as Record<string, unknown>)[key] = withoutPlaces(field, names);
      } else if (Array.isArray(field) && sentenceLists.has(key))
        for (const [i, item] of field.entries()) {
          if (typeof item === 'string') field[i] = withoutPlaces(item, names);
          else inside.push(item);
        }
      else inside.push(field);
    }
  }
  return value;
}

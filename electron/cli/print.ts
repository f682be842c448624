/** @file What is written for people and for machines: lines, tables, cards; nothing that a file or a person gave moves the cursor or starts a line. */
import { printable } from '../../native-models/weights/json.ts';
import type { ResolvedRequest } from '../contract/requests.ts';

/** Text with what files and people gave it, on one line. */
export const onOneLine = (text: string): string => printable(text.replaceAll(/\s*\n\s*/g, ' '), 25_000);
/** One JSON object on a line of stdout. */
export const printJson = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
/** Lines for people on stdout. */
export const printLines = (lines: readonly string[]): void => {
  if (lines.length) process.stdout.write(`${lines.map(onOneLine).join('\n')}\n`);
};
/** A sentence for people on stderr, in place of a progress bar that stands there. */
export const tell = (text: string): void => void process.stderr.write(`${process.stderr.isTTY ? '\r\x1b[K' : ''}${onOneLine(text)}\n`);

/** `seconds` as a person says it. */
export const duration = (seconds: number): string =>
  seconds < 90
    ? `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`
    : seconds < 5400
      ? `${Math.round(seconds / 60)} min`
      : `${(seconds / 3600).toFixed(1)} h`;
/** A size in decimal units, as file managers show it. */
export function size(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let n = bytes,
    unit = 0;
  for (; n >= 999.5 && unit < units.length - 1; unit++) n /= 1000;
  return `${unit === 0 || n >= 99.5 ? Math.round(n) : n.toFixed(1)} ${units[unit]!}`;
}
export const counted = (n: number, one: string, many = `${one}s`): string => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
export const ordinal = (n: number): string => {
  const tail = n % 100 > 10 && n % 100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th');
  return `${n}${tail}`;
};
/** An ISO time as date and minute here. */
export const when = (iso: string): string => {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return '';
  const two = (n: number) => String(n).padStart(2, '0');
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${two(time.getHours())}:${two(time.getMinutes())}`;
};
export const starsOf = (n: number): string => '★'.repeat(n);

const wide =
  /[\p{Emoji_Presentation}\p{Extended_Pictographic}\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u;
const graphemes = new Intl.Segmenter();
/** The columns that a text takes on a terminal, about: terminals differ on new emoji. */
const widthOf = (text: string): number => {
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += wide.test(segment) ? 2 : 1;
  return width;
};
const padded = (text: string, width: number, right: boolean) => {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return right ? space + text : text + space;
};
/** The beginning of a text that fits into so many columns. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = '',
    used = 1;
  for (const { segment } of graphemes.segment(text)) {
    used += wide.test(segment) ? 2 : 1;
    if (used > width) break;
    kept += segment;
  }
  return `${kept.trimEnd()}…`;
}

/** A table with aligned columns, one line a row. Its last column is cut to the terminal, or where there is none to 100.
 * @param head column names; one that ends in `>` is aligned to the right */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const right = head.map(name => name.endsWith('>')),
    cells = [head.map(name => name.replace(/>$/, '')), ...rows.map(row => row.map(onOneLine))],
    last = head.length - 1;
  const widths = head.map((_, c) => Math.max(...cells.map(row => widthOf(row[c]!)), 1));
  const before = widths.slice(0, last).reduce((sum, w) => sum + w + 2, 0),
    room = Math.max(20, process.stdout.isTTY ? process.stdout.columns - before - 1 : 100);
  return cells.map(row =>
    row
      .map((text, c) => (c === last && !right[c] ? cut(text, room) : padded(text, widths[c]!, right[c]!)))
      .join('  ')
      .trimEnd(),
  );
}

/** A thing with its properties, aligned; what is empty is left out. */
export function card(title: string, fields: readonly (readonly [name: string, value: string | null | undefined])[]): string[] {
  const shown = fields.filter((field): field is readonly [string, string] => Boolean(field[1])),
    width = Math.max(0, ...shown.map(([name]) => name.length));
  return [title, ...shown.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)];
}
/** How a clip was or will be computed, as a card says it. */
export const madeWith = ({ numInferenceSteps, guidanceScale, useDynamicCfg, scheduler }: ResolvedRequest): string =>
  `${counted(numInferenceSteps, 'step')}, guidance ${guidanceScale}${useDynamicCfg ? ' dynamic' : ''}, ${scheduler}`;

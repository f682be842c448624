/** @file Numbers, sizes, lengths of time and dates as the language that is set writes them. */
import { speech } from './index.svelte.ts';

const formats = new Map<string, Intl.NumberFormat>();
function number(value: number, options: Intl.NumberFormatOptions): string {
  const key = speech.locale + JSON.stringify(options);
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.NumberFormat(speech.locale, options)));
  return format.format(value);
}
export const count = (n: number): string => speech.numbers.format(n);
/** @param part 0 to 1 */
export const percent = (part: number): string => number(part, { style: 'percent', maximumFractionDigits: 0 });
export const decimal = (value: number, digits = 1): string => number(value, { maximumFractionDigits: digits });

const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const;
/** In steps of a thousand, as disks are sold. */
export function bytes(n: number): string {
  const step = n < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(n) / 3));
  const value = n / 1000 ** step;
  return number(value, { style: 'unit', unit: units[step]!, unitDisplay: 'short', maximumFractionDigits: step > 0 && value < 10 ? 1 : 0 });
}
/** `45 s`, `3 min`, `1 h 20 min`: as exact as a person needs it. */
export function duration(seconds: number): string {
  const unit = (value: number, name: 'second' | 'minute' | 'hour', digits = 0) =>
    number(value, { style: 'unit', unit: name, unitDisplay: name === 'second' ? 'narrow' : 'short', maximumFractionDigits: digits });
  if (seconds < 10) return unit(seconds, 'second', 1);
  if (seconds < 90) return unit(seconds, 'second');
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return unit(minutes, 'minute');
  return minutes % 60 === 0 ? unit(minutes / 60, 'hour') : `${unit(Math.floor(minutes / 60), 'hour')} ${unit(minutes % 60, 'minute')}`;
}
/** A moment as people say it: `5 minutes ago`, `yesterday`, or its date. */
export function when(iso: string, now = Date.now()): string {
  const then = Date.parse(iso),
    seconds = (then - now) / 1000,
    relative = new Intl.RelativeTimeFormat(speech.locale, { numeric: 'auto' });
  if (Number.isNaN(then)) return iso;
  if (Math.abs(seconds) < 60) return relative.format(Math.round(seconds), 'second');
  if (Math.abs(seconds) < 3600) return relative.format(Math.round(seconds / 60), 'minute');
  if (Math.abs(seconds) < 86_400) return relative.format(Math.round(seconds / 3600), 'hour');
  if (Math.abs(seconds) < 7 * 86_400) return relative.format(Math.round(seconds / 86_400), 'day');
  return new Intl.DateTimeFormat(speech.locale, { dateStyle: 'medium' }).format(then);
}
/** A moment exactly. */
export const moment = (iso: string): string =>
  new Intl.DateTimeFormat(speech.locale, { dateStyle: 'long', timeStyle: 'medium' }).format(Date.parse(iso));

/** @file The window's words: `t('library.search')` in the language that is set. All three are there at once: a language that is chosen is spoken at once. */
import type { languages } from '../../electron/contract/records.ts';
import * as create from './areas/create.ts';
import * as desktop from './areas/desktop.ts';
import * as frame from './areas/frame.ts';
import * as keys from './areas/keys.ts';
import * as library from './areas/library.ts';
import * as photo from './areas/photo.ts';
import * as player from './areas/player.ts';
import * as queue from './areas/queue.ts';
import * as settings from './areas/settings.ts';
import * as subjects from './areas/subjects.ts';
import * as welcome from './areas/welcome.ts';
import type { Phrase, Values } from './words.ts';

const areas = { create, desktop, frame, keys, library, photo, player, queue, settings, subjects, welcome } as const;
type Areas = typeof areas;
type Area = keyof Areas;
/** Every key: `area.key`. */
export type Key = { [A in Area]: `${A}.${keyof Areas[A]['en'] & string}` }[Area];
export type Language = (typeof languages)[number];

/** Right to left. */
export const directionOf = (language: Language): 'ltr' | 'rtl' => (language === 'ar' ? 'rtl' : 'ltr');
/** What a language calls itself; `reviewed`: by somebody who grew up with it. */
export const languageNames: Readonly<Record<Language, { readonly name: string; readonly reviewed: boolean }>> = {
  en: { name: 'English', reviewed: true },
  de: { name: 'Deutsch', reviewed: false },
  ar: { name: 'العربية', reviewed: false },
};
/** The one of ours that a person reads best. */
export const systemLanguage = (wanted: readonly string[] = navigator.languages): Language =>
  (wanted.map(l => l.slice(0, 2)).find(l => Object.hasOwn(languageNames, l)) as Language | undefined) ?? 'en';

class Speech {
  language = $state<Language>('en');
  /** For numbers, dates and plurals. Latin digits everywhere: they stand beside sizes and names of files. */
  readonly locale = $derived(this.language === 'ar' ? 'ar-u-nu-latn' : this.language);
  readonly plurals = $derived(new Intl.PluralRules(this.locale));
  readonly numbers = $derived(new Intl.NumberFormat(this.locale));
}
/** What is spoken now. */
export const speech = new Speech();

/** A phrase in the language that is set, with its values put in. `n` chooses the plural. */
export function t(key: Key, values: Values = {}): string {
  const [area, name] = key.split('.') as [Area, string];
  const phrase = (areas[area][speech.language] as Readonly<Record<string, Phrase>>)[name]!;
  const chosen = typeof phrase === 'string' ? phrase : (phrase[speech.plurals.select(Number(values['n'] ?? 0))] ?? phrase.other);
  return chosen.replace(/\{(\w+)\}/g, (whole, each: string) => {
    const value = values[each];
    return value === undefined ? whole : typeof value === 'number' ? speech.numbers.format(value) : value;
  });
}
/** A phrase of one language without its values: for a search that also knows what English calls it. */
export function phraseIn(language: Language, key: Key): string {
  const [area, name] = key.split('.') as [Area, string];
  const phrase = (areas[area][language] as Readonly<Record<string, Phrase>>)[name]!;
  return typeof phrase === 'string' ? phrase : phrase.other;
}

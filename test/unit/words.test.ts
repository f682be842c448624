/** @file What the window says: the same keys, values and plural forms in all languages, and nothing written outside the words. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { languages } from '../../electron/contract/records.ts';
import type { Phrase } from '../../renderer/words/words.ts';
import { root } from '../support/run.ts';

type Spoken = Readonly<Record<string, Phrase>>;
const folder = join(root, 'renderer/words/areas');
const areas = new Map<string, Readonly<Record<(typeof languages)[number], Spoken>>>();
for (const file of readdirSync(folder)) areas.set(file.replace(/\.ts$/, ''), (await import(join(folder, file))) as never);

const formsOf = (phrase: Phrase): readonly (readonly [string, string])[] =>
  typeof phrase === 'string' ? [['', phrase]] : Object.entries(phrase);
const valuesIn = (text: string) => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map(m => m[1]!))].sort();
const everyPhrase = [...areas].flatMap(([area, spoken]) =>
  languages.flatMap(language =>
    Object.entries(spoken[language]).map(([key, phrase]) => ({ area, language, key, phrase, en: spoken.en[key] })),
  ),
);

test('each area has the same keys in each language, and none is empty', () => {
  assert.ok(areas.size >= 10 && everyPhrase.length > 1000, `${areas.size} areas, ${everyPhrase.length} phrases`);
  for (const [area, spoken] of areas)
    for (const language of languages)
      assert.deepEqual(Object.keys(spoken[language]).sort(), Object.keys(spoken.en).sort(), `${area}, ${language}`);
  const empty = everyPhrase.filter(({ phrase }) => formsOf(phrase).some(([, text]) => text.trim() === ''));
  assert.deepEqual(empty, []);
});

test('a phrase that counts has every plural form that its language has', () => {
  const wrong: string[] = [];
  for (const { area, language, key, phrase, en } of everyPhrase) {
    if (typeof en === 'object' && typeof phrase === 'string') {
      // one form may do where the noun does not follow the number
      if (language === 'ar') wrong.push(`${area}.${key} in ${language}: English counts, this does not`);
      continue;
    }
    if (typeof phrase === 'string') continue;
    const wanted = new Intl.PluralRules(language).resolvedOptions().pluralCategories;
    const has = formsOf(phrase).map(([form]) => form);
    for (const form of wanted) if (!has.includes(form)) wrong.push(`${area}.${key} in ${language}: no '${form}'`);
    for (const form of has) if (!wanted.includes(form as never)) wrong.push(`${area}.${key} in ${language}: '${form}' is never used`);
  }
  assert.deepEqual(wrong, []);
});

test('the same values stand in a phrase in each language', () => {
  const wrong: string[] = [];
  for (const { area, language, key, phrase, en } of everyPhrase) {
    const all = new Set(formsOf(en!).flatMap(([, text]) => valuesIn(text)));
    for (const [form, text] of formsOf(phrase)) {
      const has = valuesIn(text);
      for (const value of has) if (!all.has(value)) wrong.push(`${area}.${key} ${form} in ${language}: {${value}} is not in English`);
      // zero, one and two are often said without the number
      for (const value of all)
        if (!has.includes(value) && value !== 'n') wrong.push(`${area}.${key} ${form} in ${language}: lacks {${value}}`);
      if (
        all.has('n') &&
        !has.includes('n') &&
        ['few', 'many', 'other'].includes(form) &&
        formsOf(en!).some(([f, e]) => f === 'other' && e.includes('{n}'))
      )
        wrong.push(`${area}.${key} ${form} in ${language}: lacks {n}`);
    }
  }
  assert.deepEqual(wrong, []);
});

/** Words that are the same in two languages: names, and what German has taken over. */
const shared =
  /^(?:[^\p{L}]|\{\w+\}|Protagonist|Toybox|Kelp|GIF|MP4|PNG|HEVC|H\.264|ffmpeg|Apache-2\.0|LoRA|DDIM|DPM|px\b|s\b|Del\b|[A-Z]\b)*$/u;
test('German and Arabic are translated', () => {
  const wrong: string[] = [];
  for (const { area, language, key, phrase, en } of everyPhrase) {
    if (language === 'en') continue;
    const own = formsOf(phrase).map(([, text]) => text),
      english = new Set(formsOf(en!).map(([, text]) => text));
    for (const text of own) {
      if (language === 'ar' && !/\p{Script=Arabic}/u.test(text) && !shared.test(text)) wrong.push(`${area}.${key} in ar: ${text}`);
      // one or two words may well be the same in German; a sentence is not
      if (language === 'de' && english.has(text) && !shared.test(text) && text.split(/\s+/).length > 2)
        wrong.push(`${area}.${key} in de: ${text}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('German says du, everywhere', () => {
  const formal = everyPhrase.flatMap(({ area, language, key, phrase }) =>
    language === 'de' && formsOf(phrase).some(([, text]) => /[\p{Ll},:] Sie\b|\bIhnen\b|\bIhre?[nmrs]?\b/u.test(text))
      ? [`${area}.${key}`]
      : [],
  );
  assert.deepEqual(formal, []);
});

/** What a template says itself: text between tags, and attributes that are read aloud. */
function saidOutsideWords(source: string): string[] {
  const template = source
    .replace(/<script[\s\S]*?<\/script>/g, '')
    .replace(/<style[\s\S]*?<\/style>/g, '')
    .replace(/<!--[\s\S]*?-->/g, '');
  const found: string[] = [];
  // whatever stands in braces is code; braces nest, and may hold strings
  let text = '';
  for (let at = 0, depth = 0; at < template.length; at++) {
    const c = template[at]!;
    if (depth > 0 && (c === "'" || c === '"' || c === '`')) {
      for (at++; at < template.length && template[at] !== c; at++) if (template[at] === '\\') at++;
      continue;
    }
    if (c === '{') {
      if (depth++ === 0) text += '\u0000';
    } else if (c === '}') depth--;
    else if (depth === 0) text += c;
  }
  for (const [, name, value] of text.matchAll(
    /\s(aria-label|aria-description|aria-valuetext|title|alt|placeholder|label|text|hint)="([^"]*)"/g,
  ))
    if (/\p{L}{2,}/u.test(value!)) found.push(`${name!}="${value!}"`);
  // a tag ends at its > outside quotes
  const between = text.replace(/<\/?[a-zA-Z][^<>"']*(?:"[^"]*"[^<>"']*|'[^']*'[^<>"']*)*>/g, '\u0001');
  for (const piece of between.split(/[\u0000\u0001]/)) if (/\p{L}{2,}/u.test(piece)) found.push(piece.trim());
  return found;
}
/** Not words of a language: the product's name, a command, keys of a keyboard. */
const notWords: ReadonlySet<string> = new Set(['Protagonist', 'protagonist serve --roots ~/models', 'px', 'fps', 'Esc']);

test('no template says anything outside the words', () => {
  assert.deepEqual(
    saidOutsideWords('<p class="a">{t(\'x.y\')} Hello <b title="A word">{n}</b></p>'),
    ['title="A word"', 'Hello'],
    'the scan finds some',
  );
  assert.deepEqual(saidOutsideWords("<p onclick={() => { if (a > b) go(); }}>{a > 1 ? t(`x.${y}`) : ''} × </p>"), [], 'and code is none');
  const wrong: string[] = [];
  const sources = readdirSync(join(root, 'renderer'), { recursive: true, encoding: 'utf8' }).filter(f => f.endsWith('.svelte'));
  assert.ok(sources.length > 30);
  for (const file of sources)
    for (const said of saidOutsideWords(readFileSync(join(root, 'renderer', file), 'utf8')))
      if (!notWords.has(said)) wrong.push(`${file}: ${said}`);
  assert.deepEqual(wrong, []);
});

/** @file Inputs made from a schema alone: values of its shape, values nearly so, and junk; with the strings and numbers that programs trip over. */
import fc from 'fast-check';
import { presetIds } from '../../electron/media/presets.ts';
import type { z } from 'zod';

/** Strings that paths, SQL, shells, terminals, searches and prototypes trip over. */
export const hostile: readonly string[] = [
  '', ' ', '\t\n', '\0', 'a\0b', '\u202eabc', '\u2066x\u2069', '\ud800', 'x\udfff', '\ufeff', '\u0007\u001b[2J', '%s%n%d', '${process.exit()}',
  '../../../../etc/passwd', '..\\..\\windows\\win.ini', '/etc/passwd', '/proc/self/environ', 'file:///etc/passwd', 'http://127.0.0.1:9/x.png', '%2e%2e%2f', 'CON', 'nul.txt', 'a'.repeat(300),
  `'; DROP TABLE clips; --`, '" OR 1=1', `x' UNION SELECT path FROM checkpoints --`, '*', '?', 'NEAR(a b)', 'a AND', '"unclosed', '%', '_', '\\',
  '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'null', 'NaN', '0', '-1', '1e999',
  '柠檬', '玩具在海滩上跳', 'игрушка прыгает', 'لعبة تقفز', 'ของเล่น', 'ﷺ', '👩‍👩‍👧‍👦', 'İstanbul ß ﬁ', 'e\u0301\u0301\u0301', '@kelp', '@@', '@kelp @fig', '{red|blue}', '{a|{b|c}}', '{|}', '{a|b', '\\{', '{'.repeat(40) + '|',
  '<script>alert(1)</script>', '<!ENTITY x SYSTEM "file:///etc/passwd">', '[]', '{}', 'latest.mp4', 'x'.repeat(25_000), '柠'.repeat(5000),
]; // prettier-ignore
const numbers: readonly number[] = [
  0, -0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 25, 49, 64, 96, 128, 500, 501, 4096, 10_000, 10_001, 0.1, 1.5, -1, -100, 100.01, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 1e21, 1e308, 5e-324,
]; // prettier-ignore

/** What a schema says of itself: zod's own description, which its types keep half hidden. */
interface Described {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly innerType?: z.ZodType;
  readonly element?: z.ZodType;
  readonly items?: readonly z.ZodType[];
  readonly options?: readonly z.ZodType[];
  readonly in?: z.ZodType;
  readonly values?: readonly unknown[];
  readonly entries?: Readonly<Record<string, string>>;
  readonly keyType?: z.ZodType;
  readonly valueType?: z.ZodType;
}
interface Bag {
  readonly minimum?: number;
  readonly maximum?: number;
  readonly format?: string;
}
const describe = (schema: z.ZodType) => schema._zod.def as unknown as Described;
const bagOf = (schema: z.ZodType) => schema._zod.bag as Bag;

/** Where values may come from beside the schema: by the name of the field they are for. */
export type Known = Readonly<Partial<Record<string, fc.Arbitrary<unknown>>>>;

const anyString = fc.oneof(
  { arbitrary: fc.constantFrom(...hostile), weight: 3 },
  { arbitrary: fc.string({ maxLength: 12 }), weight: 2 },
  { arbitrary: fc.string({ unit: 'grapheme', maxLength: 20 }), weight: 2 },
  { arbitrary: fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/), weight: 3 },
);
/** Values by field that code checks and shape does not tell: mostly good ones, so that what lies behind them is reached. */
const mostly = (good: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ arbitrary: good, weight: 12 }, { arbitrary: fc.constantFrom<unknown>(...hostile, ...numbers), weight: 1 });
export const likely: Known = {
  prompt: fc.oneof(anyString, fc.constantFrom('@kelp hops', 'the {red|blue} ball', '')),
  seed: mostly(fc.nat()),
  numInferenceSteps: mostly(fc.integer({ min: 1, max: 8 })),
  guidanceScale: mostly(fc.constantFrom(1, 2, 6)),
  numFrames: mostly(fc.constantFrom(1, 9, 17, 25, 33, 41, 49)),
  width: mostly(fc.constantFrom(64, 96, 128)),
  height: mostly(fc.constantFrom(64, 96, 128)),
  fps: mostly(fc.constantFrom(8, 16, 1.5)),
  scale: mostly(fc.constantFrom(0, 0.5, 1)),
  handle: mostly(fc.constantFrom('kelp', '@Fig', 'ШАР', '柠檬', 'a_b-c')),
  tags: mostly(fc.constantFrom('beach', '海', 'a b')),
  tag: mostly(fc.constantFrom('beach', '海', 'a b')),
  addTags: mostly(fc.constantFrom('beach', '海', 'a b')),
  removeTags: mostly(fc.constantFrom('beach', '海', 'a b')),
  name: mostly(fc.stringMatching(/^[A-Za-z ]{1,20}$/)),
  notes: mostly(fc.string({ maxLength: 50 })),
  description: mostly(fc.string({ maxLength: 50 })),
  preset: mostly(fc.constantFrom(...presetIds)),
  seeds: mostly(fc.integer({ min: 1, max: 4 })),
  limit: mostly(fc.integer({ min: 1, max: 500 })),
  stars: mostly(fc.integer({ min: 0, max: 5 })),
  offset: mostly(fc.nat(20_000)),
  frame: mostly(fc.nat(10)),
};
/** Anything that JSON can carry. */
export const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, [], {}, [[]], '', 0, JSON.parse('{"__proto__": {"polluted": 1}}'), { constructor: { prototype: 1 } }),
  fc.constantFrom(...hostile),
  fc.constantFrom(...numbers),
  fc.jsonValue({ maxDepth: 3 }),
); // prettier-ignore

const idsOf = (schema: z.ZodType): readonly string[] =>
  ['s', 'p', 'c', 'j', 'k', 'a', 'e', 'i'].filter(letter => schema.safeParse(`${letter}1`).success);

/** Values of a schema's shape. Not all are valid: checks that are code are not known, and some of these strings and numbers are meant to fail them. */
export function shaped(schema: z.ZodType, known: Known = {}, field = ''): fc.Arbitrary<unknown> {
  const own = known[field];
  const def = describe(schema);
  const wraps = ['optional', 'nullable', 'default', 'prefault', 'pipe', 'readonly', 'object', 'array'];
  if (own && !wraps.includes(def.type)) return own;
  const inner = () => shaped(def.innerType!, known, field);
  switch (def.type) {
    case 'object': {
      const fields = Object.entries(def.shape!);
      const required = fields.filter(([, s]) => !s.safeParse(undefined).success).map(([name]) => name);
      return fc.record(Object.fromEntries(fields.map(([name, s]) => [name, shaped(s, known, name)])), { requiredKeys: required });
    }
    case 'optional':
    case 'default':
    case 'prefault':
      return inner();
    case 'nullable':
      return fc.oneof({ arbitrary: inner(), weight: 2 }, { arbitrary: fc.constant(null), weight: 1 });
    case 'pipe':
      return shaped(def.in!, known, field);
    case 'array': {
      const { minimum = 0 } = bagOf(schema);
      return fc.oneof(
        { arbitrary: fc.array(shaped(def.element!, known, field), { minLength: minimum, maxLength: minimum + 3 }), weight: 9 },
        { arbitrary: fc.array(shaped(def.element!, known, field), { maxLength: 30 }), weight: 1 },
      );
    }
    case 'tuple':
      return fc.tuple(...def.items!.map(item => shaped(item, known, field)));
    case 'union':
      return fc.oneof(...def.options!.map(o => shaped(o, known, field)));
    case 'enum':
      return fc.constantFrom(...Object.values(def.entries!));
    case 'literal':
      return fc.constantFrom(...def.values!);
    case 'boolean':
      return fc.boolean();
    case 'number': {
      const { minimum = -1000, maximum = 100_000, format } = bagOf(schema);
      const low = Math.max(minimum, -1e6),
        high = Math.min(maximum, 1e6);
      const within = format === 'safeint' ? fc.integer({ min: Math.ceil(low), max: Math.floor(high) }) : fc.double({ min: low, max: high, noNaN: true });
      return fc.oneof({ arbitrary: within, weight: 1 }, { arbitrary: fc.constantFrom(...numbers), weight: 2 });
    }
    case 'string':
      if (bagOf(schema).format === 'base64')
        return fc.oneof(fc.uint8Array({ maxLength: 40 }).map(b => Buffer.from(b).toString('base64')), fc.constantFrom('', 'QUJD', '!!', 'QUJ', 'A'.repeat(5000)));
      return anyString;
    case 'custom': {
      const letters = idsOf(schema);
      if (!letters.length) return junk;
      return fc.oneof(
        { arbitrary: fc.tuple(fc.constantFrom(...letters), fc.integer({ min: 1, max: 30 })).map(([l, n]) => `${l}${n}`), weight: 12 },
        { arbitrary: fc.constantFrom(...letters.flatMap(l => [`${l}0`, `${l}-1`, `${l}999999999999999`, `${l}9007199254740993`, `${l}1e3`, `${l}01`, `${l}１`])), weight: 1 },
      );
    }
    case 'record':
      return fc.dictionary(anyString, def.valueType ? shaped(def.valueType, known) : junk, { maxKeys: 4 });
    case 'void':
    case 'undefined':
      return fc.constant(undefined);
    case 'unknown':
    case 'any':
      return junk;
    default:
      throw new Error(`no inputs can be made of a schema of type ${def.type}: add it`);
  }
} // prettier-ignore

/** A copy with one thing about it changed: a value anywhere replaced, taken away, doubled, wrapped, or a key added. */
function spoilt(value: unknown, at: number, how: number, by: unknown): unknown {
  const places: (readonly [parent: Record<string, unknown>, key: string])[] = [];
  const root = { value: structuredClone(value) };
  const walk = (parent: Record<string, unknown>, key: string) => {
    places.push([parent, key]);
    const here = parent[key];
    if (typeof here === 'object' && here !== null) for (const k of Object.keys(here)) walk(here as Record<string, unknown>, k);
  };
  walk(root, 'value');
  const [parent, key] = places[at % places.length]!;
  const here = parent[key];
  switch (how % 6) {
    case 0:
      parent[key] = by;
      break;
    case 1:
      Reflect.deleteProperty(parent, key);
      break;
    case 2:
      parent[key] = [here];
      break;
    case 3:
      parent[key] =
        typeof here === 'string' ? here + JSON.stringify(by) : typeof here === 'number' ? here * 1e9 + 0.5 : JSON.stringify(here);
      break;
    case 4:
      if (typeof here === 'object' && here !== null) (here as Record<string, unknown>)[typeof by === 'string' ? by : 'more'] = by;
      else parent[key] = { [key]: here };
      break;
    default:
      parent[key] = null;
  }
  return root.value;
}

/** Inputs for a method: six in ten of its shape, three nearly so, one junk. */
export function inputs(schema: z.ZodType, known?: Known): fc.Arbitrary<unknown> {
  const whole = shaped(schema, known);
  return fc.oneof(
    { arbitrary: whole, weight: 6 },
    { arbitrary: fc.tuple(whole, fc.nat(200), fc.nat(5), junk).map(([v, at, how, by]) => spoilt(v, at, how, by)), weight: 3 },
    { arbitrary: junk, weight: 1 },
  );
}

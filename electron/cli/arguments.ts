/** @file Command line arguments: options that take several values, one sentence for each mistake. */
import { closest as closestOf } from '../contract/closest.ts';

/** A mistake in what was typed: exit status 2. */
export class UsageError extends Error {}

/** How an option reads its value. `flag` takes none; `switch` may be joined to one, `--name=no`, and alone means yes; `each` one every time it is given; `texts` one or more, up to the next option. */
export type Kind = 'flag' | 'switch' | 'text' | 'number' | 'each' | 'texts';
type Parsed<K extends Kind> = K extends 'flag' | 'switch' ? boolean : K extends 'text' ? string : K extends 'number' ? number : string[];
export type Options<S extends Record<string, Kind>> = { [O in keyof S]?: Parsed<S[O]> };

/** A yes or no in words. */
export const yesOrNo: Readonly<Partial<Record<string, boolean>>> = { on: true, true: true, yes: true, off: false, false: false, no: false };

/** Reads `argv` against `spec` (option name without dashes -> kind). `--name=value` and `--name value` are the same, a repeated `each` or `texts` goes on, `--` ends the options.
 * @throws UsageError for an unknown option (with the closest name), a missing or doubled value, a number that is none */
export function parseArguments<S extends Record<string, Kind>>(argv: readonly string[], spec: S): { options: Options<S>; rest: string[] } {
  const options: Record<string, boolean | string | number | string[]> = {},
    rest: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === '--') {
      rest.push(...argv.slice(i + 1));
      break;
    }
    if (!word.startsWith('--')) {
      if (/^-[a-zA-Z]/.test(word)) throw new UsageError(`${word} is not an option: options begin with two dashes`);
      rest.push(word);
      continue;
    }
    const equals = word.indexOf('='),
      name = equals < 0 ? word.slice(2) : word.slice(2, equals),
      kind = Object.hasOwn(spec, name) ? spec[name] : undefined;
    if (!kind) {
      const close = closest(name, Object.keys(spec));
      throw new UsageError(`there is no option --${name}${close ? `: did you mean --${close}?` : ''}`);
    }
    if (kind === 'flag') {
      if (equals >= 0) throw new UsageError(`--${name} takes no value`);
      options[name] = true;
      continue;
    }
    if (kind === 'switch') {
      const said = equals < 0 ? 'yes' : word.slice(equals + 1),
        value = Object.hasOwn(yesOrNo, said) ? yesOrNo[said] : undefined;
      if (value === undefined) throw new UsageError(`--${name} is yes or no, not '${said}'`);
      if (options[name] !== undefined && options[name] !== value) throw new UsageError(`--${name} is given twice, as yes and as no`);
      options[name] = value;
      continue;
    }
    const given = equals >= 0 ? word.slice(equals + 1) : argv[++i];
    if (given === undefined) throw new UsageError(`--${name} needs a value`);
    if (equals < 0 && given.startsWith('--'))
      throw new UsageError(`--${name} needs a value (one that begins with dashes is joined to it: --${name}=${given})`);
    if (kind === 'each' || kind === 'texts') {
      const list = (options[name] ??= []) as string[];
      list.push(given);
      while (kind === 'texts' && equals < 0 && argv[i + 1] !== undefined && !argv[i + 1]!.startsWith('--')) list.push(argv[++i]!);
      continue;
    }
    if (options[name] !== undefined) throw new UsageError(`--${name} is given twice`);
    if (kind === 'number') {
      const n = Number(given);
      if (given.trim() === '' || !Number.isFinite(n)) throw new UsageError(`--${name} needs a number, not '${given}'`);
      options[name] = n;
    } else options[name] = given;
  }
  return { options: options as Options<S>, rest };
}

/** The name that differs from `word` by the fewest letters, if by no more than three. */
export const closest = (word: string, names: readonly string[]): string | undefined =>
  closestOf(word, names, changes => changes <= Math.min(3, word.length - 1));

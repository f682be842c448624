/** @file What a verb of the command line is: a row of data with what it does, held by its type to the API's methods it declares. */
import type { z } from 'zod';
import { api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import { client, refused, type Api, type ClientOf, type Transport } from '../contract/rpc.ts';
import { parseArguments, UsageError, type Kind, type Options } from './arguments.ts';
import { openLibrary } from './library.ts';
import { printJson, printLines } from './print.ts';
import { untilStopped } from './stop.ts';

export type Client = ClientOf<typeof api>;
/** `subjects.add` and so on. */
export type MethodName = { [N in keyof Client]: `${N}.${keyof Client[N] & string}` }[keyof Client];
type One<U> = U extends `${infer N extends keyof Client}.${infer M}`
  ? (client: { readonly [n in N]: { readonly [m in M & keyof Client[N]]: Client[N][m] } }) => void
  : never;
/** A client that can call these methods and no others. */
export type Only<U extends MethodName> = One<U> extends (client: infer C) => void ? C : never;

/** How an option is read, what its value is called in the help ('' for a flag or switch), and its help. */
export type Option = readonly [kind: Kind, value: string, help: string];
export type OptionTable = Readonly<Record<string, Option>>;
export type Values<S extends OptionTable> = Options<{ -readonly [O in keyof S]: S[O][0] }>;

/** One row of the table of verbs. */
export interface Verb {
  /** One word, or a noun and a verb. */
  readonly name: string;
  /** The words it takes: `ID`, `[DIR]`, `PHOTO...`, `[ID...]`. */
  readonly takes: string;
  readonly help: string;
  /** What else its own help says. */
  readonly more?: string;
  readonly options: OptionTable;
  /** What is typed behind it by mistake is not said again: it may be a secret. */
  readonly hushed?: boolean;
  /** The API's methods it calls; none: it works without a library. */
  readonly uses: readonly MethodName[];
  /** Carries it out.
   * @param words what belongs to no option, as many as `takes` says
   * @param values of `options`, and of `json` and `home`
   * @returns the exit status */
  run(words: readonly string[], values: Readonly<Record<string, unknown>>): Promise<number>;
}

/** Every verb's own. */
export const common = {
  json: ['flag', '', 'one JSON object a line, for machines'],
} as const satisfies OptionTable;
/** Of every verb that works on a library. */
export const libraryOptions = {
  home: ['text', 'DIR', "the library's folder (else PROTAGONIST_HOME, else this user's data folder)"],
} as const satisfies OptionTable;
export interface CommonValues {
  readonly json?: boolean;
  readonly home?: string;
}

/** What a verb found out: an object for machines, lines for people, and the exit status if it is not 0. */
export interface Answer {
  readonly json: Readonly<Record<string, unknown>> & { readonly type: string };
  readonly text: readonly string[];
  readonly status?: number;
}
interface Call<U extends MethodName, S extends OptionTable> {
  readonly client: Only<U>;
  readonly words: readonly string[];
  readonly options: Values<S> & CommonValues;
  /** Aborted by Ctrl-C: the client's calls know it, other waiting has to be told. */
  readonly signal: AbortSignal;
}
/** Told so that it holds for every verb: each undoes what it had begun, or keeps what is whole. */
const canceled = 'Canceled. The same command does what is left to do.';

/** A verb that opens the library, asks, prints the answer and closes it. Ctrl-C cancels what was asked and closes the library all the same. */
export function verb<const U extends MethodName, const S extends OptionTable>(
  row: Omit<Verb, 'run' | 'options' | 'uses'> & { options?: S; uses: readonly U[]; act: (call: Call<U, S>) => Promise<Answer> },
): Verb {
  const { act, options = {}, ...rest } = row;
  return {
    ...rest,
    options,
    run: async (words, values) => {
      const given = values as Values<S> & CommonValues;
      const library = await openLibrary(given.home);
      try {
        const {
          json,
          text,
          status = 0,
        } = await untilStopped(signal =>
          act({ client: clientOf(library.transport, signal) as unknown as Only<U>, words, options: given, signal }),
        ).catch((e: unknown) => {
          throw e instanceof StudioError && e.code === 'canceled' ? new StudioError('canceled', canceled, { cause: e }) : e;
        });
        if (given.json) printJson(json);
        else printLines(text);
        return status;
      } finally {
        await library.close();
      }
    },
  };
}

/** Reads what follows a verb's name.
 * @throws UsageError naming the option, or saying what the verb takes */
export function readWords(verb: Verb, argv: readonly string[]): { words: string[]; values: Record<string, unknown> } {
  const table = { ...verb.options, ...(verb.uses.length && libraryOptions), ...common };
  const { options, rest } = parseArguments(argv, Object.fromEntries(Object.entries(table).map(([name, [kind]]) => [name, kind])));
  const wanted = verb.takes === '' ? [] : verb.takes.split(' '),
    least = wanted.filter(w => !w.startsWith('[')).length,
    most = wanted.some(w => w.includes('...')) ? Infinity : wanted.length;
  if (rest.length > most)
    throw new UsageError(
      `${verb.hushed ? 'what follows' : `'${rest[most]!}'`} belongs to no option: ${verb.takes === '' ? `'${verb.name}' takes options alone` : usageOf(verb)}, and words with spaces are put in quotes`,
    );
  if (rest.length < least) throw new UsageError(`${wanted.slice(rest.length).join(' ')} is missing: ${usageOf(verb)}`);
  return { words: rest, values: options };
}
/** How the verb is typed, without its options. */
export const usageOf = (verb: Pick<Verb, 'name' | 'takes'>): string => `protagonist ${verb.name}${verb.takes ? ` ${verb.takes}` : ''}`;

/** A client whose input is looked at before it is sent, so that a mistake is told in the words that were typed.
 * @param stop ends its calls, and lets none begin
 * @returns functions that throw UsageError for what does not fit, StudioError for what the library refuses */
export const clientOf = (transport: Transport, stop?: AbortSignal): Client =>
  client(api, {
    ...transport,
    call: (method, input, signal = stop) => {
      if (signal?.aborted) return Promise.resolve(refused('canceled', 'canceled'));
      const [noun = '', name = ''] = method.split('.');
      const parsed = (api as Api)[noun]![name]!.input.safeParse(input, { reportInput: true });
      if (!parsed.success) throw new UsageError(sentenceOf(parsed.error));
      return transport.call(method, input, signal);
    },
  });

/** What an option is called where it is not called like the field. */
const optionNames: Readonly<Partial<Record<string, string>>> = {
  numInferenceSteps: 'steps',
  numFrames: 'frames',
  useDynamicCfg: 'dynamic-guidance',
  addTags: 'add',
  removeTags: 'remove',
  heroPhotoId: 'hero',
  trashed: 'trash',
  photos: 'photo',
  adapters: 'adapter',
  subjects: 'subject',
};
const optionOf = (path: readonly PropertyKey[]): string => {
  const field = path.findLast(p => typeof p === 'string') ?? 'input';
  return `--${optionNames[field] ?? field.replace(/[A-Z]/g, c => `-${c.toLowerCase()}`)}`;
};
type Issue = z.core.$ZodIssue;
function sentence(issue: Issue): string {
  const option = optionOf(issue.path);
  switch (issue.code) {
    case 'invalid_value':
      return `${option} is ${issue.values.join(', ')}, not '${String(issue.input)}'`;
    case 'invalid_type':
      return issue.expected === 'int' ? `${option} is a whole number, not ${String(issue.input)}` : `${option}: ${issue.message}`;
    case 'too_big':
    case 'too_small':
      if (issue.origin !== 'number' && issue.origin !== 'int') return issue.message;
      return issue.code === 'too_big' ? `${option} is at most ${issue.maximum}` : `${option} is at least ${issue.minimum}`;
    case 'invalid_union': {
      const first = issue.errors.flat()[0];
      return first ? sentence({ ...first, path: [...issue.path, ...first.path] }) : issue.message;
    }
    case 'unrecognized_keys':
      return `there is no ${issue.keys.join(', ')}`;
    default: // ours, with its own subject
      return issue.message;
  }
}
/** What is wrong with an input, as one sentence in the command line's words. */
export const sentenceOf = (error: z.ZodError): string => [...new Set(error.issues.map(i => sentence(i)))].join('; ');

/** What was given, without what was not: for methods that change only what they are told. */
export const onlyGiven = <T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined)) as never;

/** @file An API is a table of methods grouped by noun. Its types, its client and its host come from the table; a transport has three members. Nothing here knows sockets, Electron or the studio. */
import { z } from 'zod';
import { actionOf, failure, StudioError, type ErrorCode, type Failure } from './errors.ts';

/** One row of an API's table. */
export interface Method {
  readonly input: z.ZodType;
  readonly output: z.ZodType;
}
export const method = <I extends z.ZodType, O extends z.ZodType>(input: I, output: O): { readonly input: I; readonly output: O } => ({
  input,
  output,
});
export type Api = Readonly<Record<string, Readonly<Record<string, Method>>>>;

/** What a host implements: input parsed, defaults filled in. A forgotten method does not compile. */
export type HostOf<A extends Api> = {
  readonly [N in keyof A]: {
    readonly [M in keyof A[N]]: (
      input: z.output<A[N][M]['input']>,
      signal: AbortSignal,
    ) => z.input<A[N][M]['output']> | Promise<z.input<A[N][M]['output']>>;
  };
};
/** What a client calls: input as written; `signal` where waiting may end early. */
export type ClientOf<A extends Api> = {
  readonly [N in keyof A]: {
    readonly [M in keyof A[N]]: (input: z.input<A[N][M]['input']>, signal?: AbortSignal) => Promise<z.output<A[N][M]['output']>>;
  };
};

/** `value` is left out where a method returns nothing: JSON has no undefined. */
export const reply = z.union([
  z.object({ error: failure, unsent: z.literal(true).optional() }),
  z.strictObject({ value: z.unknown().optional() }),
]);
export type Reply =
  | { readonly value?: unknown }
  | { readonly error: Failure; /** With `disconnected`: it was never begun. */ readonly unsent?: true | undefined };
export const refused = (code: ErrorCode, text: string): Reply => ({ error: { code, text, action: actionOf[code] } });

/** Whether a call may be sent once more when nobody knows whether it was carried out: by its verb, those that only read. */
export const repeatable = (method: string): boolean =>
  /\.(describe|list|show|state|forecast|of|read|locate|check|machine|index|some|tags|frame)$/.test(method);

/** All that a way to a host has to offer. */
export interface Transport {
  /** Never rejects: what goes wrong on the way is a reply too (`disconnected`). */
  call(method: string, input: unknown, signal?: AbortSignal): Promise<Reply>;
  /** Calls `listener` with each event from now on; returns how to stop. */
  subscribe(listener: (event: unknown) => void): () => void;
  close(): void;
}

/** The API as functions over a transport. Replies are parsed.
 * @returns functions that throw StudioError with the host's code and sentence */
export function client<A extends Api>(api: A, transport: Transport): ClientOf<A> {
  const call = async (name: string, output: z.ZodType, input: unknown, signal?: AbortSignal) => {
    const answer = await transport.call(name, input, signal);
    if ('error' in answer)
      throw new StudioError(answer.error.code, answer.error.text, {
        ...(answer.error.count !== undefined && { count: answer.error.count }),
      });
    const parsed = output.safeParse(answer.value);
    if (!parsed.success)
      throw new StudioError('bug', `${name} was answered in a way that is not understood: ${z.prettifyError(parsed.error)}`);
    return parsed.data;
  };
  return Object.fromEntries(
    Object.entries(api).map(([noun, methods]) => [
      noun,
      Object.fromEntries(
        Object.entries(methods).map(([verb, { output }]) => [
          verb,
          (input: unknown, signal?: AbortSignal) => call(`${noun}.${verb}`, output, input, signal),
        ]),
      ),
    ]),
  ) as unknown as ClientOf<A>;
}

type Issue = z.core.$ZodIssue;
/** Where a value is not what it has to be, and what that is; of several forms that it could have, those that it comes nearest to. */
function sentenceOf(issues: readonly Issue[]): string {
  const said = [...new Set(issues.map(issue => (issue.path.length ? `${issue.path.join('.')}: ${wordsOf(issue)}` : wordsOf(issue))))];
  const few = said.slice(0, 20);
  return [...few, ...(said.length > few.length ? [`and ${said.length - few.length} more`] : [])].join('; ').slice(0, 2000); // a key can be as long as a message
}
function wordsOf(issue: Issue): string {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue.message;
  const near = (form: readonly Issue[]) =>
      form.some(i => i.code === 'unrecognized_keys') ? -1 : Math.max(...form.map(i => i.path.length)),
    nearest = Math.max(...issue.errors.map(near));
  return [...new Set(issue.errors.filter(form => near(form) === nearest).map(sentenceOf))].join(', or ');
}

/** Answers one call. Never rejects. */
export type Answer = (method: string, input: unknown, signal?: AbortSignal) => Promise<Reply>;

/** The other end: the only place where input is parsed. What a method returns is cut to its output's shape, so that nothing else leaves.
 * @param describe turns anything thrown into a failure; what it does not know is a bug */
export function host<A extends Api>(api: A, implementation: HostOf<A>, describe: (error: unknown) => Failure): Answer {
  const never = new AbortController().signal;
  return async (name, input, signal = never) => {
    const [noun = '', verb = '', ...more] = name.split('.');
    const methods = Object.hasOwn(api, noun) ? api[noun]! : {},
      row = more.length === 0 && Object.hasOwn(methods, verb) ? methods[verb]! : undefined;
    if (!row) return refused('unknownMethod', `there is no method ${JSON.stringify(name.slice(0, 80))}`);
    try {
      const parsed = row.input.safeParse(input);
      if (!parsed.success) return refused('badInput', `${name}: ${sentenceOf(parsed.error.issues)}`);
      const run = (implementation[noun] as Record<string, (input: unknown, signal: AbortSignal) => unknown>)[verb]!;
      return { value: row.output.parse(await run(parsed.data, signal)) };
    } catch (e) {
      return { error: describe(e) };
    }
  };
}

/** A host in this very process. Values cross as JSON does, so that nothing works here that fails over a socket. */
export function inProcess(answer: Answer, subscribe: Transport['subscribe']): Transport {
  const stops = new Set<() => void>();
  let closed = false;
  const copy = (x: unknown): unknown => (x === undefined ? undefined : JSON.parse(JSON.stringify(x)));
  return {
    call: async (name, input, signal) => {
      if (closed) return refused('disconnected', 'the connection is closed');
      let copied: unknown;
      try {
        copied = copy(input);
      } catch (e) {
        return refused('badInput', `${name}: the input cannot be sent (${String(e)})`);
      }
      return copy(await answer(name, copied, signal)) as Reply;
    },
    subscribe: listener => {
      const stop = subscribe(event => listener(copy(event)));
      stops.add(stop);
      return () => {
        stops.delete(stop);
        stop();
      };
    },
    close: () => {
      closed = true;
      for (const stop of stops) stop();
      stops.clear();
    },
  };
}

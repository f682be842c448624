/** @file Batches: one request becomes every combination of `{red|blue}` choices in its prompt, of a grid's values, and of seeds. */
import { StudioError } from './errors.ts';
import { mostJobs, request as requestSchema, type Batch, type Request } from './requests.ts';

/** A prompt in pieces: text as it was written, or a choice of prompts. */
type Piece = string | readonly (readonly Piece[])[];

const refuse = (text: string): never => {
  throw new StudioError('badRequest', text);
};

/** Which braces of a prompt are choices, by where each begins, and which bars belong to it; a `{` with a bar behind it that is never closed. */
export function choicesIn(prompt: string): {
  readonly choices: ReadonlyMap<number, { readonly bars: readonly number[]; readonly end: number }>;
  readonly unclosed: number | undefined;
} {
  const choices = new Map<number, { readonly bars: number[]; end: number }>(),
    open: { at: number; bars: number[] }[] = [];
  for (let i = 0; i < prompt.length; i++) {
    const c = prompt[i];
    if (c === '\\' && /[{|}]/.test(prompt[i + 1] ?? '')) i++;
    else if (c === '{') open.push({ at: i, bars: [] });
    else if (c === '|') open.at(-1)?.bars.push(i);
    else if (c === '}') {
      const { at, bars } = open.pop() ?? { at: 0, bars: [] };
      if (bars.length) choices.set(at, { bars, end: i });
    }
  }
  return { choices, unclosed: open.find(o => o.bars.length)?.at };
}

/** Reads a prompt: `{a|b}` is a choice, choices may lie in choices, `\{`, `\|` and `\}` are the signs themselves. Braces without a bar, a `{` or `}` without the other, and a `|` outside of braces are text.
 * Spaces around an alternative do not count; an alternative may be empty; one written twice counts once.
 * @throws StudioError for a `{` with a bar behind it that is never closed, and for choices in choices beyond reason */
function parse(prompt: string): readonly Piece[] {
  const { choices, unclosed } = choicesIn(prompt);
  if (unclosed !== undefined)
    refuse(
      `the prompt has a { that is never closed (${JSON.stringify(prompt.slice(unclosed, unclosed + 30))}): close it with }, or write \\{ for the sign itself`,
    );
  const read = (from: number, to: number, depth: number): Piece[] => {
    if (depth > mostDeep) refuse(`the prompt has choices in choices ${mostDeep} deep: write fewer`);
    const pieces: Piece[] = [];
    let text = from;
    for (let i = from; i < to; i++) {
      const choice = choices.get(i);
      if (!choice) continue;
      if (i > text) pieces.push(prompt.slice(text, i));
      const ends = [...choice.bars, choice.end];
      pieces.push(unique(ends.map((end, n) => trim(read(n === 0 ? i + 1 : ends[n - 1]! + 1, end, depth + 1)))));
      i = choice.end;
      text = i + 1;
    }
    if (to > text) pieces.push(prompt.slice(text, to));
    return pieces;
  };
  return read(0, prompt.length, 0);
}
const mostDeep = 20;

/** Without the spaces at both ends. */
function trim(pieces: readonly Piece[]): readonly Piece[] {
  const all = [...pieces];
  if (typeof all[0] === 'string') all[0] = all[0].trimStart();
  const last = all.at(-1);
  if (typeof last === 'string') all[all.length - 1] = last.trimEnd();
  return all.filter(p => p !== '');
}
const unique = <T>(all: readonly T[]): T[] => [...new Map(all.map(x => [JSON.stringify(x), x])).values()];

/** How many prompts it can become; Infinity where that is beyond counting. */
const countOf = (pieces: readonly Piece[]): number =>
  pieces.reduce((n, p) => n * (typeof p === 'string' ? 1 : p.reduce((sum, a) => sum + countOf(a), 0)), 1);

/** The prompt of this number, the first choice changing slowest. */
function choose(pieces: readonly Piece[], number: number): { text: string; empty: boolean } {
  let rest = number,
    text = '',
    empty = false;
  for (const p of pieces.toReversed()) {
    if (typeof p === 'string') {
      text = p + text;
      continue;
    }
    const n = countOf([p]);
    let which = rest % n;
    rest = Math.floor(rest / n);
    for (const alternative of p) {
      const own = countOf(alternative);
      if (which < own) {
        const chosen = choose(alternative, which);
        text = chosen.text + text;
        empty ||= chosen.empty || chosen.text === '';
        break;
      }
      which -= own;
    }
  }
  return { text, empty };
}

const spell = (pieces: readonly Piece[], number: number): string => {
  const { text, empty } = choose(pieces, number);
  return empty ? text.replaceAll(/ {2,}/g, ' ').trim() : text; // "a {big|} toy" has a space too many without its word
};

/** The text of a prompt without choices: `\{`, `\|` and `\}` become the signs themselves.
 * @throws StudioError where it still has choices, or a `{` with a bar that is never closed */
export function plainPrompt(prompt: string): string {
  const pieces = parse(prompt),
    n = countOf(pieces);
  if (n !== 1) refuse(`the prompt stands for ${spoken(n)} clips, but this is one: choose one of the words between { and }`);
  return spell(pieces, 0).replaceAll(/\\([{|}])/g, '$1');
}

const spoken = (n: number) => (n > mostJobs ? `more than ${mostJobs.toLocaleString('en-US')}` : n.toLocaleString('en-US'));

/** A batch spelt out: how many, known at once, and each when it is asked for.
 *
 * The order is that of nested loops: prompt choices outermost, then the grid as it is written, then seeds. All combinations share the request's seed, or one that is drawn here where it has none
 * and there is more than one clip; with n seeds each becomes n clips: seed, seed + 1, ... Each request that comes out stands for itself alone: expanded again it is what it was.
 * @param draw a seed from 0 to 2^32 - 1
 * @throws StudioError `badRequest`: braces that do not close, a grid's value that the setting cannot take, more than `mostJobs` */
export function expand(
  request: Request,
  batch: Batch,
  draw: () => number = () => crypto.getRandomValues(new Uint32Array(1))[0]!,
): { readonly count: number; readonly requests: Iterable<Request> } {
  const prompt = parse(request.prompt);
  const fields = batch.grid.map(axis => axis.field);
  const twice = fields.find((field, i) => fields.indexOf(field) !== i);
  if (twice) refuse(`the grid runs over ${twice} twice: give its values once`);
  const grid = batch.grid.map(({ field, values }) => ({
    field,
    values: unique(values).map(value => {
      const parsed = requestSchema.shape[field].safeParse(value);
      if (!parsed.success)
        refuse(`the grid's ${field} cannot be ${JSON.stringify(value)}: ${parsed.error.issues.map(i => i.message).join('; ')}`);
      return parsed.data;
    }),
  }));
  const prompts = countOf(prompt),
    settings = grid.reduce((n, axis) => n * axis.values.length, 1);
  const count = prompts * settings * batch.seeds;
  if (count > mostJobs)
    refuse(
      `that would be ${Number.isFinite(count) ? count.toLocaleString('en-US') : 'countless'} clips, and at most ${mostJobs.toLocaleString('en-US')} are queued at once: ask for fewer`,
    );
  const base = request.seed ?? (count > 1 ? draw() : null);
  const highest = grid.find(axis => axis.field === 'seed')?.values.reduce<number>((a, b) => Math.max(a, Number(b)), 0) ?? base ?? 0;
  if (highest > Number.MAX_SAFE_INTEGER - (batch.seeds - 1))
    refuse(`the last of ${batch.seeds} seeds would be above ${Number.MAX_SAFE_INTEGER}: begin lower`);

  return {
    count,
    requests: {
      *[Symbol.iterator]() {
        for (let i = 0; i < prompts; i++) {
          const chosen = spell(prompt, i);
          for (let j = 0; j < settings; j++) {
            let rest = j;
            const set = grid.toReversed().map(({ field, values }) => {
              const value = values[rest % values.length];
              rest = Math.floor(rest / values.length);
              return [field, value] as const;
            });
            const one: Request = { ...request, seed: base, prompt: chosen, ...Object.fromEntries(set) };
            for (let k = 0; k < batch.seeds; k++) yield one.seed === null ? one : { ...one, seed: one.seed + k };
          }
        }
      },
    },
  };
}

/** @file Which verb was meant, and help. */
import { closest, UsageError } from './arguments.ts';
import { common, libraryOptions, usageOf, type Option, type Verb } from './verb.ts';
import { alone, verbs } from './verbs.ts';

const nounOf = ({ name }: Verb) => name.split(' ')[0]!;
const titles: Readonly<Record<string, string>> = {
  generate: 'Clips of your subject',
  subject: 'Subjects: who clips are about',
  clip: 'Finished clips',
  export: 'Exports: clips for somewhere else',
  job: 'The queue',
  checkpoint: 'Models, used where they lie',
  settings: 'The library',
  doctor: 'This machine, single files',
};

const shortOf = ({ name, takes }: Verb) => `${name} ${takes}`.trim();

/** All verbs, a line each. */
export function overview(): string {
  const width = Math.max(...verbs.map(v => shortOf(v).length)) + 2;
  const lines = verbs.flatMap((v, i) => {
    const noun = nounOf(v),
      title = verbs.findIndex(other => nounOf(other) === noun) === i ? titles[noun] : undefined;
    return [...(title ? ['', title] : []), `  ${shortOf(v).padEnd(width)}${v.help}`];
  });
  return `Protagonist makes video clips of your subject, on this machine.

  protagonist subject add --name Kelp --kind toy PHOTO...
  protagonist generate --subject @kelp --prompt "@kelp hops over a sandy beach."
  protagonist generate --subject PHOTO --prompt TEXT --out FILE.mp4    without a library
${lines.join('\n')}

Every verb takes --json (one JSON object a line) and --help. The library is the folder that --home DIR or
PROTAGONIST_HOME names, else this user's own. Exit status: 0 done, 1 failed, 2 bad arguments, 130 stopped.
protagonist --version says which this is.
`;
}

/** One verb with its options. */
export function helpOf(verb: Verb): string {
  const options = Object.entries<Option>({ ...verb.options, ...(verb.uses.length && libraryOptions), ...common });
  const left = options.map(([name, [kind, value]]) => `  --${name}${kind === 'switch' ? '[=no]' : ''}${value && ` ${value}`}`),
    width = Math.max(...left.map(l => l.length)) + 2;
  return `${usageOf(verb)}${Object.keys(verb.options).length ? ' [options]' : ''}
  ${verb.help}${verb.more ? `\n\n${verb.more}` : ''}

${options.map(([, [, , help]], i) => `${left[i]!.padEnd(width)}${help}`).join('\n')}
`;
}
/** The verbs of a noun, or a verb, or everything.
 * @throws UsageError where there is none */
export function help(words: readonly string[]): string {
  if (!words.length) return overview();
  const exact = verbs.find(v => v.name === words.join(' '));
  if (exact) return helpOf(exact);
  const under = verbs.filter(v => v.name.startsWith(`${words.join(' ')} `));
  if (!under.length) return helpOf(find(words).verb);
  const width = Math.max(...under.map(v => shortOf(v).length)) + 2;
  return `${under.map(v => `  ${shortOf(v).padEnd(width)}${v.help}`).join('\n')}\n\nprotagonist VERB --help says more of each.\n`;
}

/** The verb at the beginning of `argv`, and what follows it.
 * @throws UsageError with the nearest that there is */
export function find(argv: readonly string[]): { verb: Verb; rest: readonly string[] } {
  const end = argv.findIndex(word => word.startsWith('-')),
    leading = argv.slice(0, end < 0 ? argv.length : end);
  for (let n = Math.min(3, leading.length); n > 0; n--) {
    const name = leading.slice(0, n).join(' '),
      verb = verbs.find(v => v.name === name || (n === leading.length && v.name === alone[name]));
    if (verb) return { verb, rest: argv.slice(n) };
  }
  const [noun, word] = leading;
  if (noun === undefined) throw new UsageError(`options come after the verb, as in: protagonist clip list ${argv[0]!}`);
  let under = verbs.filter(v => nounOf(v) === noun),
    depth = 1;
  if (!under.length) {
    const close = closest(noun, [...new Set(verbs.map(nounOf)), 'help']);
    throw new UsageError(`there is no command '${noun}'${close ? `: did you mean ${close}?` : ': protagonist help lists what there is'}`);
  }
  for (; under.some(v => v.name.startsWith(`${leading.slice(0, depth + 1).join(' ')} `)) && depth < leading.length; depth++)
    under = under.filter(v => v.name.startsWith(`${leading.slice(0, depth + 1).join(' ')} `));
  const known = [...new Set(under.map(v => v.name.split(' ')[depth]!))],
    before = leading.slice(0, depth).join(' '),
    wrong = leading[depth];
  const close = wrong === undefined ? undefined : closest(wrong, known);
  const there = known.map(k => `${before} ${k}`).join(', ');
  throw new UsageError(
    word === undefined || wrong === undefined
      ? `${before} what? There are ${there}`
      : `there is no '${before} ${wrong}': ${close ? `did you mean ${before} ${close}?` : `there are ${there}`}`,
  );
}

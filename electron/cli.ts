/** @file The command line: everything the product can do, for people and (with --json) for machines. Exit status: 0 done, 1 failed, 2 bad arguments, 130 stopped. The verbs are in cli/. */
import { UsageError } from './cli/arguments.ts';
import { find, help } from './cli/help.ts';
import { printJson, tell } from './cli/print.ts';
import { readWords } from './cli/verb.ts';

/** Runs one command and says how it ended.
 * @param argv what follows the program's name
 * @returns the exit status */
export async function main(argv: readonly string[]): Promise<number> {
  const json = argv.includes('--json');
  // A reader that has gone (`| head -1`), a closed terminal or a full disk under a log is no reason to lose a clip.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const [command, ...words] = argv;
  try {
    if (command === undefined || command === '--help' || command === '-h' || command === 'help') {
      process.stdout.write(help(words.filter(w => !w.startsWith('-'))));
      return command === undefined ? 2 : 0;
    }
    if (command === '--version') {
      const { programVersion: version } = await import('./media/program.ts');
      if (json) printJson({ type: 'version', version });
      else process.stdout.write(`protagonist ${version}\n`);
      return 0;
    }
    if (words.includes('--help')) {
      const end = argv.findIndex(word => word.startsWith('-'));
      process.stdout.write(help(argv.slice(0, end)));
      return 0;
    }
    const { verb, rest } = find(argv);
    const { words: taken, values } = readWords(verb, rest);
    return await verb.run(taken, values);
  } catch (e) {
    const { describeFailure } = await import('./studio/failures.ts'); // it knows SQLite's errors, which a good end need not load
    const failure = e instanceof UsageError ? { code: 'badArguments', text: e.message, action: 'edit' } : describeFailure(e);
    const { code, text } = failure;
    if (json) printJson({ type: 'failed', ...failure });
    else tell(text);
    return code === 'badArguments' || code === 'badInput' ? 2 : code === 'canceled' ? 130 : 1;
  }
}

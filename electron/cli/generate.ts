/** @file `generate` and `forecast`: a clip of the library's subjects, or (direct.ts) of photo files without one. */
import { existsSync } from 'node:fs';
import { expand } from '../contract/expand.ts';
import { clipId, jobId } from '../contract/ids.ts';
import { batch as batchSchema, request as requestSchema } from '../contract/requests.ts';
import { StudioError } from '../contract/errors.ts';
import type { z } from 'zod';
import type { Forecast, Job } from '../contract/records.ts';
import { UsageError } from './arguments.ts';
import { canAsk, confirmed } from './ask.ts';
import { generateDirect, mp4Of } from './direct.ts';
import type { Opened } from '../contract/wire.ts';
import { openLibrary } from './library.ts';
import { pathOf } from './names.ts';
import { batchOf, batchOptions, generationOptions, inLibrary, likeOption, requestOf } from './options.ts';
import { card, counted, duration, printJson, printLines, size, tell } from './print.ts';
import { clientOf, sentenceOf, verb, type Client, type CommonValues, type Only, type Values, type Verb } from './verb.ts';
import { untilStopped } from './stop.ts';
import { follow, forecastText, printFinished, queuedText, statusOf, waitUses } from './wait.ts';

type RequestInput = z.input<typeof requestSchema>;
const requestUses = [
  'subjects.show', 'checkpoints.list', 'adapters.list', 'pictures.add', 'clips.show', 'requests.of', 'requests.read',
] as const; // prettier-ignore
type Given = Values<typeof generationOptions> & CommonValues;

/** The request of `--like`, to begin from: with the seed that was drawn, so that only what is changed changes.
 * @throws StudioError, UsageError */
async function likeOf(client: Only<'requests.of' | 'requests.read'>, like: string, json = false): Promise<RequestInput> {
  const known = clipId.or(jobId).safeParse(like);
  if (known.success) {
    const { request, resolved } = await client.requests.of({ id: known.data });
    return { ...request, seed: request.seed ?? resolved?.seed ?? null };
  }
  const { request, missing } = await client.requests.read({ path: pathOf(like) });
  if (!request) throw new StudioError('badFile', `${like} does not say what made it: it has no request in it`);
  for (const thing of missing) {
    // what a request may leave open gets the library's own, the rest is not there
    const text = `${thing}: ${/^the (checkpoint|setting) /.test(thing) ? 'left open' : 'left out'}`;
    if (json) printJson({ type: 'notice', jobId: null, text });
    else tell(text);
  }
  return request;
}
const asked = async (client: Only<(typeof requestUses)[number]>, options: Values<typeof batchOptions> & CommonValues) => ({
  request: await requestOf(client, options, options.like === undefined ? undefined : await likeOf(client, options.like, options.json)),
  batch: batchOf(options),
});

/** Queues what is asked for, after asking about many.
 * @throws UsageError where there is nobody to ask; StudioError */
async function enqueue(client: Client, options: Given): Promise<{ jobs: Job[]; notices: string[] } | undefined> {
  const wish = { ...(await asked(client, options)), next: options.next ?? false };
  if (options.out !== undefined) {
    const parsed = requestSchema.safeParse(wish.request, { reportInput: true }),
      many = batchSchema.safeParse(wish.batch, { reportInput: true });
    if (!parsed.success) throw new UsageError(sentenceOf(parsed.error));
    if (!many.success) throw new UsageError(sentenceOf(many.error));
    const { count } = expand(parsed.data, many.data);
    if (count > 1) throw new UsageError(`--out takes one clip, and this makes ${count}: leave it out and use protagonist clip save`);
  }
  try {
    return await client.jobs.enqueue({ ...wish, confirmed: options.yes ?? false });
  } catch (e) {
    if (!(e instanceof StudioError) || e.code !== 'needsConfirmation') throw e;
    const count = e.count === undefined ? e.message : `That would be ${e.count.toLocaleString('en')} clips`;
    if (options.json || !canAsk()) throw new UsageError(`${count}: add --yes to queue so many, or ask for fewer`);
    const { all } = await client.jobs.forecast({ request: wish.request, batch: wish.batch });
    return (await confirmed(`${count}, ${forecastText(all)}. Queue them?`)) ? client.jobs.enqueue({ ...wish, confirmed: true }) : undefined;
  }
}

async function generateInLibrary(options: Given): Promise<number> {
  for (const name of ['preview-seconds', 'threads'] as const)
    if (options[name] !== undefined)
      throw new UsageError(`--${name} is a setting of the library: protagonist settings set ${name} ${options[name]}`);
  if (options.out !== undefined && options.detach)
    throw new UsageError('--out waits for the clip and --detach does not: leave one out (protagonist clip save takes a copy later)');
  const out = options.out === undefined ? undefined : mp4Of(options.out);
  if (out !== undefined && existsSync(out)) throw new UsageError(`--out ${options.out!} is there already: choose another name`);
  const library = await openLibrary(options.home);
  let stopped: string | undefined;
  try {
    const client = clientOf(library.transport);
    const queued = await enqueue(client, options);
    if (!queued) {
      tell('Nothing was queued.');
      return 130;
    }
    const { jobs, notices } = queued;
    if (options.json) printJson({ type: 'queued', jobs, notices });
    else for (const notice of notices) tell(notice);
    const [first] = jobs;
    if (!first) return 0;
    if (options.detach) {
      if (!options.json) printLines([queuedText(jobs), ...(await whoMakesIt(client))]);
      return 0;
    }
    if (!options.json) tell(queuedText(jobs));
    const outcome = await untilStopped(signal => follow(library, { batch: first.batchId, json: options.json ?? false, signal }));
    const [clip] = outcome.clips;
    if (out !== undefined && clip) {
      await untilStopped(signal => client.clips.save({ id: clip.id, path: out }, signal)).catch((e: unknown) => {
        if (!(e instanceof StudioError) || e.code !== 'canceled') throw e;
        throw new StudioError('canceled', `Canceled. ${clip.id} is ready and not copied: ${saveCommand(clip.id, out)} does it`, {
          cause: e,
        });
      });
      if (options.json) printJson({ type: 'saved', id: clip.id, path: out });
      else printLines([`saved as ${out}`]);
    }
    if (outcome.stopped) stopped = stoppedText(jobs, library) + (out === undefined || clip ? '' : unsavedText(first.id, out));
    if (options.json) printFinished(outcome);
    return statusOf(outcome);
  } finally {
    await library.close();
    if (stopped !== undefined && !options.json) tell(stopped); // true only once the owner has let go
  }
}
const whoMakesIt = async (client: Only<'queue.state'>): Promise<string[]> => {
  const { state } = await client.queue.state({});
  return state === 'stopped'
    ? ['It waits: protagonist queue run makes it.']
    : state === 'paused'
      ? ['The queue is paused: protagonist queue resume lets it go on.']
      : [];
};
/** What a person who leaves before the end has to know. */
const stoppedText = (jobs: readonly Job[], library: Opened): string => {
  const what = jobs.length === 1 ? jobs[0]!.id : `${jobs[0]!.id} to ${jobs.at(-1)!.id}`;
  return library.owner
    ? `Stopped. ${what} ${jobs.length === 1 ? 'stays' : 'stay'} in the queue with what is done: protagonist queue run goes on.`
    : `No longer waiting. ${what} ${jobs.length === 1 ? 'goes' : 'go'} on in the process that has the library open; protagonist job cancel ${jobs[0]!.id} would end ${jobs.length === 1 ? 'it' : 'one'}.`;
};
const saveCommand = (id: string, file: string) =>
  `protagonist clip save ${id} ${/^[\w./-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`}`;
const unsavedText = (job: string, out: string) =>
  ` No copy is saved as --out says: once it is ready, ${saveCommand('ID', out)} does it (protagonist job show ${job} says which clip).`;

export const generate: Verb = {
  name: 'generate',
  takes: '',
  help: 'a video clip of your subject: in the library, or straight from photo files',
  more: `With --subject @kelp (or s1), an @handle in the prompt, or an option that only a library has,
the clip is made in the library: it is queued, waited for (unless --detach) and kept.
With photo files, or with neither, it is made at once without a library, into --out:
there {red|blue} and @handles in the prompt reach the model as they are written.
A photo file whose name begins with @ is written ./@name.`,
  options: generationOptions,
  uses: [...requestUses, ...waitUses, 'jobs.enqueue', 'jobs.forecast', 'clips.save'],
  run: async (_, values) => {
    const options = values as Given;
    return inLibrary(options, existsSync) ? generateInLibrary(options) : generateDirect(options);
  },
};

const known = (n: number | null, say: (n: number) => string) => (n === null ? 'not known yet' : say(n));
export function forecastCard(title: string, jobs: number, each: Forecast, all: Forecast): string[] {
  const both = (a: number | null, b: number | null, say: (n: number) => string) =>
    jobs > 1 && a !== null ? `${say(a)} each, ${known(b, say)} in all` : known(b, say);
  return card(title, [
    ['time', both(each.seconds, all.seconds, s => `about ${duration(s)}`)],
    ['memory', known(all.peakRamBytes, n => `${size(n)} at most`)],
    ['device memory', all.peakDeviceBytes === null ? '' : `${size(all.peakDeviceBytes)} at most`],
    ['disk', both(each.diskBytes, all.diskBytes, size)],
    ['learnt from', all.learntFrom ? `${counted(all.learntFrom, 'clip')} made here${all.exact ? '' : ', of another size or device'}` : ''],
  ]);
}

const { subject, photo, ...rest } = batchOptions;
export const forecast = verb({
  name: 'forecast',
  takes: '',
  help: 'how long a clip would take, and how much memory and disk; queues nothing',
  more: "Takes generate's options, and the library's subjects only.",
  options: { subject, photo, ...rest, ...likeOption },
  uses: [...requestUses, 'jobs.forecast'],
  act: async ({ client, options }) => {
    const answer = await client.jobs.forecast(await asked(client, options));
    return {
      json: { type: 'forecast', ...answer },
      text: [...forecastCard(counted(answer.jobs, 'clip'), answer.jobs, answer.each, answer.all), ...answer.notices],
    };
  },
});

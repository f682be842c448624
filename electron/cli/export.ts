/** @file `clip export`, `clip join` and `export`: clips on their way out of the library. */
import { event as eventSchema } from '../contract/events.ts';
import { StudioError } from '../contract/errors.ts';
import type { ClipId, ExportId } from '../contract/ids.ts';
import type { Exported, ExportOptions, ExportOrder, ExportPlan } from '../contract/records.ts';
import type { Opened } from '../contract/wire.ts';
import { UsageError } from './arguments.ts';
import { openLibrary } from './library.ts';
import { clipIdOf, exportIdOf, pathOf } from './names.ts';
import { card, counted, duration, printJson, printLines, size, table, tell, when } from './print.ts';
import { progressBar, progressEnd } from './progress.ts';
import { untilStopped } from './stop.ts';
import { clientOf, onlyGiven, verb, type OptionTable, type Only, type Values, type Verb } from './verb.ts';

const rateText = ([n, d]: ExportPlan['rate']): string => `${Math.round((1000 * n) / d) / 1000} a second`;
const planText = (plan: ExportPlan): string =>
  `${plan.width}x${plan.height}, ${counted(plan.numFrames, 'frame')}, ${rateText(plan.rate)} (${duration(plan.seconds)})`;
const whatOf = (e: Pick<Exported, 'order'>): string => `${e.order.clips.join(' + ')} as ${e.order.preset}`;
const hasEnded = ({ status }: Exported): boolean => status !== 'waiting' && status !== 'running';

function exportCard(e: Exported, path: string | null): string[] {
  const { order, plan } = e;
  return card(`${e.id}  ${e.name}`, [
    ['what', whatOf(e)],
    ['state', e.status === 'running' ? `running, ${Math.floor(100 * (e.progress ?? 0))} %` : e.status],
    ['failed', e.failure?.text],
    ['picture', plan && planText(plan)],
    ['made from', plan && (plan.source === 'latents' ? 'the kept latents, decoded again' : 'the compressed clip')],
    ['joined by', order.clips.length > 1 ? (order.joint === 'cut' ? 'cuts' : `crossfades of ${order.joint.crossfade} s`) : ''],
    ['size', e.bytes ? size(e.bytes) : ''],
    ['new clip', e.clipId],
    ['begun', when(e.createdAt)],
    ...(plan?.notes ?? []).map(note => ['note', note] as const),
    ['file', e.missing ? 'missing' : path],
  ]);
}

/** Where an export's file lies; null where there is none or it cannot be told. */
async function whereIs(client: Only<'host.describe' | 'media.locate'>, { id, status, missing }: Exported): Promise<string | null> {
  if (status !== 'completed' || missing || !(await client.host.describe({})).can.paths) return null;
  return (await client.media.locate({ id })).path;
}

const options = {
  preset: ['text', 'P', 'what for (protagonist export presets lists them; share)'],
  out: ['text', 'PATH', 'the file or folder to make; else it lies in the library'],
  replace: ['flag', '', 'a file of that name may be replaced'],
  name: ['text', 'NAME', 'what people call it; the file in the library or in a folder is named so'],
  scale: ['number', 'X', 'both sides multiplied by it, 0.1 to 8'],
  rate: ['text', 'N', 'frames a second, also as a fraction: 30000/1001'],
  from: ['number', 'FRAME', 'the first frame of the clip that is shown (0)'],
  to: ['number', 'FRAME', 'the first that is not shown any more'],
  boomerang: ['flag', '', 'forwards, then backwards'],
  loop: ['number', 'N', 'played so often in the file'],
  fit: ['text', 'crop|pad', 'how it gets another shape (crop)'],
  poster: ['number', 'FRAME', 'this frame of the export as a PNG beside it'],
  forget: ['flag', '', 'without prompt, names, seed and settings in the file'],
  'as-clip': ['flag', '', 'a new clip of the library'],
  'dry-run': ['flag', '', 'say what it would be, make nothing'],
  command: ['flag', '', 'print the command for a shell, make nothing'],
} as const satisfies OptionTable;
const joining = {
  crossfade: ['number', 'S', 'blend each clip into the next for so many seconds'],
  ...options,
} as const satisfies OptionTable;
type Given = Values<typeof joining> & { readonly json?: boolean; readonly home?: string };

function rateOf(word: string): [number, number] {
  const match = /^(\d{1,7})(?:\.(\d{1,3})|\/(\d{1,7}))?$/.exec(word);
  if (!match) throw new UsageError(`--rate is frames a second, such as 24, 29.97 or 30000/1001, not '${word}'`);
  const [, whole, decimals, denominator] = match;
  if (denominator !== undefined) return [Number(whole), Number(denominator)];
  const d = 10 ** (decimals?.length ?? 0);
  return [Number(whole) * d + Number(decimals ?? 0), d];
}
/** The end of a clip where only its beginning is cut off is the clip's own: `frames` says where. */
function orderOf(clips: readonly ClipId[], given: Given, frames: number | undefined): ExportOrder {
  const { preset = 'share', scale, rate, from, to, boomerang, loop, fit, poster, forget, crossfade } = given;
  const trim = from === undefined && to === undefined ? undefined : { from: from ?? 0, to: to ?? frames ?? 0 };
  const chosen = onlyGiven({ scale, rate: rate === undefined ? undefined : rateOf(rate), trim, boomerang, loop, fit: fit as ExportOptions['fit'], poster, forget }); // prettier-ignore
  return { clips: [...clips], preset, options: chosen, joint: crossfade === undefined ? 'cut' : { crossfade } };
}

const uses = ['clips.show', 'exports.describe', 'exports.command', 'exports.start', 'exports.retry', 'exports.show', 'exports.cancel', 'media.locate', 'host.describe'] as const; // prettier-ignore
type ExportClient = Only<(typeof uses)[number]>;

/** Waits until these have ended, and says how far they are.
 * @returns each as it is in the end */
async function follow(
  library: Opened,
  client: ExportClient,
  ids: readonly ExportId[],
  json: boolean,
  signal: AbortSignal,
): Promise<Exported[]> {
  const last = new Map<ExportId, Exported>(),
    bar = progressBar(),
    { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const see = (e: Exported): void => {
    const before = last.get(e.id);
    last.set(e.id, e);
    if (json) {
      if (JSON.stringify(before) !== JSON.stringify(e)) printJson({ type: 'export', export: e });
    } else if (e.status === 'running')
      bar({ phase: 'export', step: Math.floor(100 * (e.progress ?? 0)), of: 100 }, ids.length > 1 ? e.id : '');
    if (ids.every(id => last.has(id) && hasEnded(last.get(id)!))) resolve(undefined);
  };
  /** Everything as it is now: at first, and after the owner has changed. */
  const read = async () => {
    for (const id of ids) see(await client.exports.show({ id }));
  };
  const unsubscribe = library.transport.subscribe(raw => {
    const said = eventSchema.parse(raw);
    if (said.type === 'export' && ids.includes(said.export.id)) see(said.export);
    else if (said.type === 'restored') void read().catch(reject);
  });
  void library.gone.then(why => reject(new StudioError('disconnected', why)));
  const stop = () => resolve(undefined);
  signal.addEventListener('abort', stop);
  try {
    if (signal.aborted) stop();
    await read();
    await promise;
    return ids.flatMap(id => last.get(id) ?? []);
  } finally {
    signal.removeEventListener('abort', stop);
    unsubscribe();
    if (!json) progressEnd();
  }
}

/** Exports each of these orders, one after the other, and waits for them. */
async function carryOut(sets: readonly (readonly ClipId[])[], given: Given): Promise<number> {
  const { json = false, out, name, replace = false, 'as-clip': asClip = false } = given;
  if (given.command && given['dry-run']) throw new UsageError('--command and --dry-run do not go together: choose one');
  if ((given.command || given['dry-run']) && (out !== undefined || asClip || replace))
    throw new UsageError('--out, --replace and --as-clip make something: leave them out with --command and --dry-run');
  const path = out === undefined ? undefined : pathOf(out);
  return inLibrary(given.home, async (library, client, signal) => {
    const orders: ExportOrder[] = [];
    for (const clips of sets) {
      const open = given.from !== undefined && given.to === undefined;
      if (open && clips.length > 1) throw new UsageError('--from alone does not say where a joined film ends: name --to too');
      orders.push(orderOf(clips, given, open ? (await client.clips.show({ id: clips[0]! })).numFrames : undefined));
    }
    if (given.command) {
      for (const order of orders) {
        const { command } = await client.exports.command(order);
        if (json) printJson({ type: 'command', command });
        else process.stdout.write(`${command}\n`); // as it is: a shell is to read it
      }
      return 0;
    }
    if (given['dry-run']) {
      for (const order of orders) {
        const plan = await client.exports.describe(order);
        if (json) printJson({ type: 'plan', order, plan });
        else printLines([`${whatOf({ order })}: ${planText(plan)}`, ...plan.notes]);
      }
      return 0;
    }
    const wanted = orders.map(order => () => client.exports.start({ ...order, ...onlyGiven({ name, path }), replace, asClip }));
    return await untilMade(library, client, wanted, json, signal);
  });
}
/** Does something with the library until it is done or stopped.
 * @returns the exit status */
async function inLibrary(
  home: string | undefined,
  work: (library: Opened, client: ExportClient, signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const library = await openLibrary(home);
  try {
    return await untilStopped(signal => work(library, clientOf(library.transport, signal), signal));
  } finally {
    await library.close();
  }
}
/** Begins exports, and waits for them. Where somebody stops it, what has not ended is given up.
 * @returns the exit status */
async function untilMade(
  library: Opened,
  client: ExportClient,
  wanted: readonly (() => Promise<Exported>)[],
  json: boolean,
  signal: AbortSignal,
): Promise<number> {
  const begun: ExportId[] = [];
  try {
    for (const begin of wanted) begun.push((await begin()).id);
    const ended = await follow(library, client, begun, json, signal);
    if (!signal.aborted) return await report(client, ended, json);
  } catch (e) {
    if (!signal.aborted) throw e;
  }
  const last = clientOf(library.transport);
  for (const id of begun)
    await last.exports.cancel({ id }).catch((e: unknown) => {
      if (!(e instanceof StudioError)) throw e; // it has ended meanwhile
    });
  if (json) printJson({ type: 'finished', exports: begun, stopped: true });
  else tell('Canceled. Nothing is left of what was not finished.');
  return 130;
}
async function report(client: ExportClient, ended: readonly Exported[], json: boolean): Promise<number> {
  let status = 0;
  for (const e of ended) {
    const path = await whereIs(client, e);
    if (e.status !== 'completed') status = 1;
    if (json) printJson({ type: 'exported', export: e, path });
    else if (e.status === 'completed')
      printLines([
        `${e.clipId ? `${e.clipId} is a clip of its own` : `${e.id} is ready`}: ${e.plan ? planText(e.plan) : e.name}, ${size(e.bytes)}${path === null ? '' : `, ${path}`}`,
        ...(e.plan?.notes ?? []),
      ]);
    else tell(e.status === 'canceled' ? `${e.id} was canceled` : `${e.id} failed: ${e.failure?.text ?? 'for a reason that was not kept'}`);
  }
  return status;
}

const exporting: Verb = {
  name: 'clip export',
  takes: 'ID...',
  help: 'make a file of a clip for somewhere else: to share, to edit, as a GIF',
  more: 'Several clips become a file each, and --out is then a folder; clip join makes one film of them.\nWith --command, the command is printed as a shell takes it.',
  options,
  uses,
  run: async (words, values) => carryOut(words.map(w => [clipIdOf(w)]), values), // prettier-ignore
};
const join: Verb = {
  name: 'clip join',
  takes: 'ID ID...',
  help: 'one film of several clips, in this order, by cuts or crossfades',
  more: 'All are shown in the size and at the rate of the first.',
  options: joining,
  uses,
  run: async (words, values) => carryOut([words.map(clipIdOf)], values),
};

const retrying: Verb = {
  name: 'export retry',
  takes: 'ID...',
  help: 'make again what failed, was canceled or is gone: the same, at the same place',
  options: { replace: options.replace },
  uses,
  run: async (words, { json = false, home, replace = false }: Given) =>
    inLibrary(home, (library, client, signal) => {
      const wanted = words.map(exportIdOf).map(id => () => client.exports.retry({ id, replace }));
      return untilMade(library, client, wanted, json, signal);
    }),
};

const one = (e: Exported, text: string) => ({ json: { type: 'export', export: e }, text: [text] });
export const exportVerbs = [
  exporting,
  join,
  verb({
    name: 'export presets',
    takes: '',
    help: 'what clips can be exported as',
    uses: ['exports.presets'],
    act: async ({ client }) => {
      const { presets, ffmpeg } = await client.exports.presets({});
      const rows = presets.map(p => [p.id, p.extension ?? 'folder', p.name, p.unavailable ?? p.says]);
      return {
        json: { type: 'presets', presets, ffmpeg },
        text: [...table(['preset', 'makes', 'name', 'what for'], rows), `made by ${ffmpeg}`],
      };
    },
  }),
  verb({
    name: 'export list',
    takes: '',
    help: 'what was exported, newest first',
    options: {
      clip: ['text', 'ID', 'of this clip'],
      limit: ['number', 'N', 'at most so many (60)'],
      after: ['text', 'ID', 'go on where the last list ended'],
    },
    uses: ['exports.list'],
    act: async ({ client, options: { clip, limit, after } }) => {
      const { exports, next } = await client.exports.list(
        onlyGiven({
          clip: clip === undefined ? undefined : clipIdOf(clip),
          limit,
          after: after === undefined ? undefined : exportIdOf(after),
        }),
      );
      const rows = exports.map(e => [
        e.id,
        e.missing ? 'missing' : e.status,
        when(e.createdAt),
        e.bytes ? size(e.bytes) : '',
        whatOf(e),
        e.name,
      ]);
      return {
        json: { type: 'exports', exports, next },
        text: rows.length
          ? [...table(['id', 'state', 'begun', 'size>', 'what', 'name'], rows), ...(next === null ? [] : [`more: --after ${next}`])]
          : ['nothing was exported yet: protagonist clip export ID makes a file of a clip'],
      };
    },
  }),
  verb({
    name: 'export show',
    takes: 'ID',
    help: 'all about one export, and where its file lies',
    uses: ['exports.show', 'media.locate', 'host.describe'],
    act: async ({ client, words }) => {
      const e = await client.exports.show({ id: exportIdOf(words[0]!) });
      const path = await whereIs(client, e);
      return { json: { type: 'export', export: e, path }, text: exportCard(e, path) };
    },
  }),
  verb({
    name: 'export cancel',
    takes: 'ID',
    help: 'stop an export; nothing is left of it',
    uses: ['exports.cancel'],
    act: async ({ client, words }) => {
      const e = await client.exports.cancel({ id: exportIdOf(words[0]!) });
      return one(e, e.status === 'canceled' ? `${e.id} is canceled` : `${e.id} had just ended: it is ${e.status}`);
    },
  }),
  retrying,
  verb({
    name: 'export remove',
    takes: 'ID...',
    help: "take exports off the list, with their files where those are the library's own",
    uses: ['exports.remove'],
    act: async ({ client, words }) => {
      const ids = words.map(exportIdOf);
      for (const id of ids) await client.exports.remove({ id });
      return { json: { type: 'removed', ids }, text: [`${counted(ids.length, 'export')} removed`] };
    },
  }),
] as const;

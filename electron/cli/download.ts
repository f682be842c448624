/** @file Checkpoints that are known by name, their way here, and `network`: who may be contacted at all. */
import { event } from '../contract/events.ts';
import { StudioError } from '../contract/errors.ts';
import type { Download, Network } from '../contract/records.ts';
import type { Opened } from '../contract/wire.ts';
import { UsageError } from './arguments.ts';
import { canAsk, confirmed, deletesForGood, secretly } from './ask.ts';
import { openLibrary } from './library.ts';
import { card, duration, onOneLine, printJson, printLines, size, table, tell } from './print.ts';
import { progressEnd } from './progress.ts';
import { untilStopped } from './stop.ts';
import { clientOf, verb, type Answer, type CommonValues, type Only, type Verb } from './verb.ts';

/** One of them, by its name in the catalogue or the one for people.
 * @throws UsageError naming what there is */
async function knownOf(client: Only<'downloads.list'>, word: string): Promise<Download> {
  const { downloads } = await client.downloads.list({}),
    found = downloads.find(d => d.id === word) ?? downloads.find(d => d.name.toLowerCase() === word.toLowerCase());
  if (found) return found;
  throw new UsageError(`no checkpoint is known by the name '${word}': there are ${downloads.map(d => d.id).join(', ') || 'none'}`);
}

/** How far it is, in words. */
function stateText({ id, state, have, bytes, failure, checkpointId }: Download): string {
  const far = `${size(have)} of ${size(bytes)}`;
  switch (state) {
    case 'here':
      return `here, as ${checkpointId ?? 'a checkpoint'}`;
    case 'none':
      return 'not here';
    case 'begun':
      return have === bytes ? 'downloaded, not on the list' : `${far} are here; checkpoint download ${id} goes on`;
    case 'failed':
      return `${far} are here; ${failure?.text ?? 'it failed'}`;
    case 'listing':
      return 'asking what there is';
    case 'downloading':
      return `${far} are here, on its way`;
  }
}
const downloadCard = (d: Download) =>
  card(`${d.id}  ${d.name}`, [
    ['for', d.for],
    ['licence', `${d.licence.name}, ${d.licence.link}`],
    ['', d.licence.summary],
    ['download', d.bytes === 0 ? 'nothing: it comes with Protagonist' : `${d.exact ? '' : 'about '}${size(d.bytes)}`],
    ['memory', `${size(d.memory.bytes)}. ${d.memory.note}`],
    ['state', stateText(d)],
  ]);
const downloadAnswer = (download: Download, text: string): Answer => ({ json: { type: 'download', download }, text: [text] });

/** One line that is painted over on a terminal; elsewhere a line for each tenth. */
function downloadBar(): (download: Download) => void {
  let last = '';
  return d => {
    const adding = d.files.length > 0 && d.files.every(f => f.state === 'checking'),
      tenth = Math.floor((10 * d.have) / Math.max(1, d.bytes));
    const doing = d.state === 'listing' ? 'Asking the hub' : adding ? 'Checking' : 'Downloading';
    if (process.stderr.isTTY) {
      const tail = ` ${size(d.have)} of ${size(d.bytes)}${d.speed === null ? '' : `, ${size(d.speed)}/s`}${d.secondsLeft === null ? '' : `, ${duration(d.secondsLeft)} left`}`,
        head = `${doing.padEnd(14)} `;
      const width = Math.max(0, Math.min(28, process.stderr.columns - head.length - tail.length - 1)),
        full = Math.min(width, Math.round((width * d.have) / Math.max(1, d.bytes)));
      process.stderr.write(`\r\x1b[K${head}${'█'.repeat(full)}${'░'.repeat(width - full)}${tail}`);
    } else if (last !== doing + String(tenth)) process.stderr.write(`${doing} ... ${onOneLine(`${size(d.have)} of ${size(d.bytes)}`)}\n`);
    last = doing + String(tenth);
  };
}

/** Waits until it is here, or until somebody ends it. Outlives the library's owner: then it is begun again.
 * @param start begins it, or goes on with it
 * @returns how it ended; undefined where `signal` was aborted
 * @throws StudioError why it failed */
async function arrival(
  library: Opened,
  start: () => Promise<Download>,
  { id, json, signal }: { id: string; json: boolean; signal: AbortSignal },
): Promise<Download | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Download | undefined>(),
    show = downloadBar();
  const see = (download: Download) => {
    if (json) printJson({ type: 'download', download });
    else if (download.state === 'listing' || download.state === 'downloading') show(download);
    if (download.state === 'failed')
      reject(new StudioError(download.failure?.code ?? 'failed', download.failure?.text ?? 'the download failed'));
    else if (download.state !== 'listing' && download.state !== 'downloading') resolve(download);
  };
  const begin = () => void start().then(see, reject);
  const unsubscribe = library.transport.subscribe(raw => {
    const said = event.parse(raw);
    if (said.type === 'download' && said.download.id === id) see(said.download);
    else if (said.type === 'restored') begin(); // this process may be the owner now
  });
  void library.gone.then(why => reject(new StudioError('disconnected', why)));
  const stop = () => resolve(undefined);
  signal.addEventListener('abort', stop);
  try {
    if (signal.aborted) stop();
    else begin();
    return await promise;
  } finally {
    signal.removeEventListener('abort', stop);
    unsubscribe();
    if (!json) progressEnd();
  }
}

type Started = Only<'downloads.list' | 'downloads.start'>;
/** The licence that was accepted: as `--accept` has it, long ago, or now at the terminal; undefined where it was refused.
 * @throws UsageError where there is nobody to ask */
async function agreed(
  client: Started,
  { id, name, licence }: Download,
  { accept, json, signal }: { accept: string | null; json: boolean; signal: AbortSignal },
): Promise<string | null | undefined> {
  try {
    await client.downloads.start({ id, accepted: accept });
    return accept;
  } catch (error) {
    if (!(error instanceof StudioError) || error.code !== 'needsConfirmation') throw error;
    if (accept !== null)
      throw new UsageError(`${name} comes under the '${licence.name}', not '${accept}': read it at ${licence.link}, then give its name`);
    if (json || !canAsk()) throw new UsageError(`${error.message}, then add --accept '${licence.name}'`);
  }
  for (const line of [`${name} comes under the ${licence.name}. ${licence.summary}`, `Its text is at ${licence.link}`]) tell(line);
  return (await confirmed('Have you read it, and do you accept it?', signal)) ? licence.name : undefined;
}

const download: Verb = {
  name: 'checkpoint download',
  takes: 'NAME',
  help: 'fetch a known one from its hub, resumed where it stands; NAME as in the catalogue',
  more: `It is a checkpoint of the library as soon as it has come and was checked against the hub's hashes.
HF_ENDPOINT names another hub than https://huggingface.co. What a hub gives only to people it knows needs an
access token: protagonist network token.`,
  options: {
    accept: ['text', 'LICENCE', 'the name of its licence, which you have read and accept'],
    detach: ['flag', '', 'do not wait: the process that has the library open goes on with it'],
  },
  uses: ['downloads.list', 'downloads.start'],
  run: async ([word], values) => {
    const { json = false, home, accept = null, detach = false } = values as CommonValues & { accept?: string; detach?: boolean };
    const library = await openLibrary(home);
    let last: string | undefined;
    try {
      const client: Started = clientOf(library.transport),
        known = await knownOf(client, word!);
      if (detach && library.owner)
        throw new StudioError('conflict', 'no other process has the library open that could go on with it: leave out --detach');
      const { id, name } = known;
      const ended = await untilStopped(async signal => {
        const licence = known.state === 'here' ? null : await agreed(client, known, { accept, json, signal });
        if (licence === undefined) return 'refused';
        if (detach) return client.downloads.start({ id, accepted: licence });
        return arrival(library, () => client.downloads.start({ id, accepted: licence }), { id, json, signal });
      });
      if (ended === 'refused') {
        tell('Nothing was downloaded.');
        return 1;
      }
      if (!ended) {
        last = library.owner
          ? `Stopped. What has come stays: protagonist checkpoint download ${id} goes on.`
          : `No longer waiting. It goes on in the process that has the library open; protagonist checkpoint pause ${id} would stop it.`;
        return 130;
      }
      if (detach && json) printJson({ type: 'download', download: ended });
      else if (!json) printLines([`${name}: ${stateText(ended)}`]);
      return detach || ended.state === 'here' ? 0 : 1;
    } finally {
      await library.close();
      if (last !== undefined && !json) tell(last); // true only once the owner has let go
    }
  },
};

export const downloadVerbs = [
  verb({
    name: 'checkpoint catalogue',
    takes: '',
    help: 'the models that are known by name: what for, under which licence, what they need',
    uses: ['downloads.list'],
    act: async ({ client }) => {
      const { downloads } = await client.downloads.list({});
      return { json: { type: 'downloads', downloads }, text: downloads.flatMap(downloadCard) };
    },
  }),
  download,
  verb({
    name: 'checkpoint pause',
    takes: 'NAME',
    help: 'stop a download; what has come stays, and checkpoint download goes on',
    uses: ['downloads.list', 'downloads.pause'],
    act: async ({ client, words: [word] }) => {
      const paused = await client.downloads.pause({ id: (await knownOf(client, word!)).id });
      return downloadAnswer(paused, `${paused.name}: ${stateText(paused)}`);
    },
  }),
  verb({
    name: 'checkpoint discard',
    takes: 'NAME',
    help: 'give a download up, and delete what has come of it',
    options: { yes: ['flag', '', 'do not ask'] },
    uses: ['downloads.list', 'downloads.cancel'],
    act: async ({ client, words: [word], options, signal }) => {
      const { id, name, have } = await knownOf(client, word!);
      if (have > 0 && !(await deletesForGood(`${size(have)} of ${name}`, options, signal)))
        return { json: { type: 'discarded', id, discarded: false }, text: ['nothing was deleted'], status: 1 };
      const left = await client.downloads.cancel({ id });
      return { json: { type: 'discarded', id, discarded: true, download: left }, text: [`${name}: nothing of it is left`] };
    },
  }),
];

/** Whether an access token is kept, and how, in words. */
function tokenText({ token, text }: Network): string[] {
  const how = {
    none: [],
    session: ['An access token is kept in memory, until the process that has the library open ends.'],
    file: ['An access token is kept, in a file that only you can read.'],
    keyring: ['An access token is kept, encrypted by the keyring.'],
    environment: ['The access token is HF_TOKEN.'],
  }[token];
  return text === null ? how : [text];
}
export const networkVerbs = [
  verb({
    name: 'network',
    takes: '',
    help: 'every host that may be contacted, and the switch that forbids it all',
    more: 'Nothing is contacted but by what you start, each host for what stands beside it; with the switch on not even then.',
    options: { offline: ['switch', '', 'contact nobody, whatever is asked; --offline=no lifts it'] },
    uses: ['network.show', 'settings.edit'],
    act: async ({ client, options: { offline } }) => {
      if (offline !== undefined) await client.settings.edit({ offline });
      const found = await client.network.show({});
      const hosts = table(
        ['host', 'why'],
        found.contacts.map(({ host, why }) => [host, why]),
      );
      return {
        json: { type: 'network', ...found },
        text: found.offline
          ? ['The offline switch is on: nothing is contacted.']
          : [...hosts, 'They are contacted for what stands beside them, when you start it, and for nothing else.', ...tokenText(found)],
      };
    },
  }),
  verb({
    name: 'network token',
    takes: '',
    help: "keep the hub's access token, for models that are given only to people it knows",
    more: `It is typed at the terminal, where it is not shown, or read from standard input; never an argument, which
others could see. It is sent to the hub alone. HF_TOKEN wins over it.`,
    options: { remove: ['flag', '', 'forget it'] },
    hushed: true,
    uses: ['network.setToken'],
    act: async ({ client, options: { remove = false }, signal }) => {
      const token = remove ? null : await secretly('access token', 'protagonist network token', signal);
      if (token === undefined) throw new StudioError('canceled', 'nothing was entered');
      const now = await client.network.setToken({ token });
      return { json: { type: 'network', ...now }, text: now.token === 'none' ? ['No access token is kept.'] : tokenText(now) };
    },
  }),
];

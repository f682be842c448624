/** @file The API as a page gets it, in a browser or in our own window: the studio's own, without paths of this machine, with the folders that were named at start. What `can.paths` promises a browser holds here, whoever owns the library. */
import type { z } from 'zod';
import { namesPath, type api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import { host, refused, type Answer, type Transport } from '../contract/rpc.ts';
import { describeFailure } from '../studio/failures.ts';
import { rootsApi, type Places } from './places.ts';
import { forBrowser, type Names } from './sentences.ts';

/** The methods whose `path` may be the id of a place, and whether a file that was sent is one: not where it is used where it lies (`copied`: only where the
 * call asks for a copy). No other method takes any. */
export const placeMethods: Readonly<Partial<Record<string, { readonly uploads: boolean | 'copied' }>>> = {
  'subjects.add': { uploads: true },
  'subjects.addPhotos': { uploads: true },
  'requests.read': { uploads: true },
  'pictures.add': { uploads: true },
  'clips.find': { uploads: true },
  'checkpoints.add': { uploads: false },
  'checkpoints.find': { uploads: false },
  'adapters.add': { uploads: 'copied' },
  'adapters.find': { uploads: false },
};
/** What a browser is not answered, and why. */
export const refusedMethods: Readonly<Partial<Record<string, string>>> = {
  'media.locate': 'files are not shown by their path here: save a copy instead',
  'clips.save': 'a browser saves a clip by downloading it',
  'exports.command':
    'a command names files by their path, which is not shown here: export it here, or copy the command on the machine itself',
};
/** The methods that a browser can call without the `path` that they may have, and why. */
export const pathlessMethods: Readonly<Partial<Record<string, string>>> = {
  'exports.start': 'a browser gets an export by downloading it: leave out where the file shall lie',
};
/** Places that one call may name. */
const most = 1000;

/** The methods that a browser can call beside the API's. */
export const ownMethods: readonly string[] = Object.keys(rootsApi.roots).map(name => `roots.${name}`);

/** Puts paths where the ids of places are, in `input` itself, which must have come as JSON.
 * @returns what the paths are called, and the files among them that were sent */
async function translate(input: unknown, places: Places, uploads: boolean): Promise<{ names: Names; sent: string[] }> {
  const names: Names[number][] = [],
    sent: string[] = [],
    inside = [input];
  let count = 0;
  for (const value of inside) {
    if (typeof value !== 'object' || value === null) continue;
    const named = value as { path?: unknown };
    if (!Array.isArray(value) && Object.hasOwn(value, 'path')) {
      if (typeof named.path !== 'string') throw new StudioError('badInput', 'a path is not a text: name a file by its id');
      if (++count > most) throw new StudioError('badInput', `at most ${most} files can be named at once: name fewer`);
      const found = await places.find(named.path, uploads);
      if (named.path.startsWith('u')) sent.push(named.path);
      named.path = found.path;
      names.push(...found.names);
    }
    for (const each of Object.values(value)) inside.push(each);
  }
  return { names, sent };
}

/** A browser downloads files: presets that make a folder say so. */
function onlyFiles({ presets }: z.output<typeof api.exports.presets.output>): void {
  for (const preset of presets)
    if (preset.extension === null)
      preset.unavailable ??= 'it makes a folder, which a browser cannot download: export it on the machine itself';
}

type Can = z.output<typeof api.host.describe.output>['can'];

/** @param transport the library's, whoever owns it; one that takes paths
 * @param can what else the page's host does for it: nothing in a browser
 * @returns what answers a browser; `input` of a call must have come as JSON and is changed */
export function forBrowsers(transport: Pick<Transport, 'call'>, places: Places, can: Partial<Omit<Can, 'paths'>> = {}): Answer {
  const own = host(rootsApi, { roots: { list: () => ({ roots: [...places.roots] }), show: ({ id }) => places.show(id) } }, error =>
    describeFailure(error),
  );
  return async (method, input, signal) => {
    const why = Object.hasOwn(refusedMethods, method) ? refusedMethods[method] : undefined;
    if (why !== undefined) return refused('notHere', why);
    if (ownMethods.includes(method)) return own(method, input, signal);
    let names: Names = [],
      sent: string[] = [];
    if (namesPath(input)) {
      const may = Object.hasOwn(placeMethods, method) ? placeMethods[method] : undefined,
        instead = Object.hasOwn(pathlessMethods, method) ? pathlessMethods[method] : undefined;
      if (!may) return refused('notHere', instead ?? 'this host takes no paths of its machine: send the file itself');
      const uploads = may.uploads === 'copied' ? (input as { copy?: unknown }).copy === true : may.uploads;
      try {
        ({ names, sent } = await translate(input, places, uploads));
      } catch (error) {
        return forBrowser({ error: describeFailure(error) });
      }
    }
    const reply = await transport.call(method, input, signal);
    if (method === 'host.describe' && 'value' in reply)
      return { value: { ...(reply.value as object), can: { dragOut: false, reveal: false, pickFolder: false, ...can, paths: false } } };
    if (method === 'exports.presets' && 'value' in reply) onlyFiles(reply.value as z.output<typeof api.exports.presets.output>);
    if (!('error' in reply)) await places.drop(sent);
    return forBrowser(reply, names);
  };
}

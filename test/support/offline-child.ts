/** @file A studio that is asked everything, so that what it opens can be traced: `offline-child.ts HOME true|false` (the switch). Prints one line of JSON: `{ methods, calls, ok, refused }`, the last the downloads that were refused for the switch. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { clipEngine } from '../../electron/cli/engine.ts';
import { lookAtMachine } from '../../electron/cli/machine.ts';
import { known, toybox } from '../../electron/cli/toybox.ts';
import { api } from '../../electron/contract/api.ts';
import type { Api, Reply } from '../../electron/contract/rpc.ts';
import { startStudio } from '../../electron/studio/studio.ts';
import { inputs, likely } from './arbitrary.ts';
import { painter } from './painter.ts';
import { sleep } from './run.ts';

const [home = '', offline] = process.argv.slice(2);
const verifier = clipEngine(1),
  files = join(home, '..', 'offline-files');
mkdirSync(files, { recursive: true });
const studio = await startStudio({
  home,
  version: '0',
  engine: { ...painter(), verify: (...order) => verifier.verify(...order) },
  verifier,
  embedded: [{ name: 'Toybox', path: toybox }],
  known: known(),
  hub: { endpoint: process.env['HF_ENDPOINT'], token: 'hf_secret' },
  machine: lookAtMachine,
  can: { paths: true, dragOut: false, reveal: false, pickFolder: false },
});
const replies: Reply[] = [];
const ask = async (method: string, input: unknown): Promise<Reply> => {
  const reply = await Promise.race([studio.answer(method, input), sleep(20_000).then((): Reply => ({ value: 'late' }))]);
  replies.push(reply);
  return reply;
};
await ask('settings.edit', { offline: offline === 'true' });
const kelp = join(toybox, 'photos/kelp.jpg');
await ask('subjects.add', { name: 'Kelp', photos: [{ path: kelp }] });
await ask('checkpoints.list', {});
await ask('queue.start', {});
await ask('jobs.enqueue', { request: { prompt: '@kelp hops', numFrames: 1, width: 64, height: 64, numInferenceSteps: 3 } });
const download = async (): Promise<number> => {
  let refused = 0;
  for (const entry of known()) {
    const reply = await ask('downloads.start', { id: entry.id, accepted: entry.licence.name });
    if ('error' in reply && reply.error.text.includes('offline switch')) refused++;
  }
  return refused;
};
const refused = await download();
let methods = 0;
const path = fc.constantFrom(kelp, join(toybox, 'adapter'), toybox, join(files, 'new.mp4'), join(files, 'none'));
for (const [noun, verbs] of Object.entries(api as Api))
  for (const [verb, { input }] of Object.entries(verbs)) {
    methods++;
    if (`${noun}.${verb}` === 'settings.edit' || `${noun}.${verb}` === 'backups.restore') continue; // the switch stays as it is
    for (const one of fc.sample(
      inputs(input, { ...likely, path, id: fc.constantFrom('s1', 'p1', 'c1', 'j1', 'k1', 'a1', 'cogvideox-5b') }),
      { numRuns: 3, seed: 5 },
    ))
      await ask(`${noun}.${verb}`, one === undefined ? undefined : JSON.parse(JSON.stringify(one)));
  }
await download();
await sleep(300);
await studio.close();
console.log(JSON.stringify({ methods, calls: replies.length, ok: replies.filter(r => !('error' in r)).length, refused }));
process.exit(0); // late answers are not waited for

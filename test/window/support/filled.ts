/** @file A library as somebody has it after a while: samples, a subject with a long name and thirty photos, clips that were really made. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { openLibrary } from '../../../electron/cli/library.ts';
import { api } from '../../../electron/contract/api.ts';
import { client } from '../../../electron/contract/rpc.ts';
import { root, sleep } from '../../support/run.ts';

const photos = join(root, 'assets/toybox/photos');

/** Thirty different pictures of one toy: cut, turned, brighter and darker. */
export async function manyPhotos(n = 30): Promise<{ name: string; base64: string }[]> {
  const names = readdirSync(photos).filter(f => f.endsWith('.jpg'));
  return Promise.all(
    Array.from({ length: n }, async (_, i) => {
      const bytes = await sharp(readFileSync(join(photos, names[i % names.length]!)))
        .modulate({ brightness: 0.8 + (i % 7) / 15, hue: (i * 12) % 360 })
        .resize(480 + (i % 3) * 160, 480 + (i % 4) * 120)
        .jpeg({ quality: 88 })
        .toBuffer();
      return { name: `IMG_20261${100 + i} holiday by the sea, the second afternoon.jpg`, base64: bytes.toString('base64') };
    }),
  );
}

/** Makes one, or finds the one that was made.
 * @param clips how many are really computed (some seconds each) */
export async function filledLibrary(clips = 4, at = join(tmpdir(), `protagonist-filled-${clips}`)): Promise<string> {
  if (existsSync(at)) return at;
  const home = mkdtempSync(join(tmpdir(), 'protagonist-filling-'));
  const library = await openLibrary(home);
  const studio = client(api, library.transport);
  const { subjects } = await studio.subjects.addSamples(undefined);
  await studio.subjects.add({
    name: 'Professor Archibald Featherstonehaugh-Montgomery the Third of the Lower Meadows',
    kind: 'character',
    description: 'an old clay owl with brass spectacles, a moss-green waistcoat and a much too long knitted scarf',
    tags: ['owl', 'second season'],
    notes: 'Lives in the clock tower.',
    photos: await manyPhotos(),
  });
  const prompts = [
    'hops in a snowy landscape.',
    'turns around on a sandy beach by the sea.',
    'comes closer in a kitchen.',
    'sways in a forest at dusk.',
  ];
  for (const [i, subject] of subjects.slice(0, clips).entries())
    await studio.jobs.enqueue({
      request: { prompt: `@${subject.handle} ${prompts[i % prompts.length]!}`, seed: 7 + i, subjects: [subject.id], numInferenceSteps: 12 },
    });
  await studio.queue.start(undefined);
  for (let waiting = clips; waiting > 0; await sleep(250)) {
    const { jobs } = await studio.jobs.list({ status: ['pending', 'inProgress'] });
    waiting = jobs.length;
  }
  const made = (await studio.clips.list({})).clips;
  if (made.length < clips)
    throw new Error(
      `${made.length} of ${clips} clips were made: ${JSON.stringify((await studio.jobs.list({ status: ['failed'] })).jobs.map(j => j.failure))}`,
    );
  for (const [i, clip] of made.entries())
    await studio.clips.edit({ id: clip.id, stars: (i * 2) % 6, addTags: i % 2 ? ['best of the week'] : ['draft', 'kitchen'] });
  await studio.settings.edit({ welcomed: true });
  await library.close();
  mkdirSync(join(at, '..'), { recursive: true });
  try {
    renameSync(home, at);
  } catch {
    rmSync(home, { recursive: true, force: true }); // another process was faster
  }
  return at;
}

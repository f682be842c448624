/**
 * @file Whether Toybox knows a subject better by its cut-out: `node test/bench/pairs.ts [--folder FOLDER] [--pairs 100] [--threads 2] [--judge]`.
 *
 * Each pair asks for a clip of a held-out toy twice, with the same sentence and seed: with the photo whole, and with the subject cut out on white by
 * the mask that is found for it by itself. pairs.py draws the photos and judges the clips as the checkpoint's own evaluation does (PYTHON: one with
 * torch, diffusers and Pillow; g++, ffmpeg). What is made lies in FOLDER and is not made again; `--judge` judges the pairs that are there.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { clipEngine } from '../../electron/cli/engine.ts';
import { readOrder } from '../../electron/cli/direct.ts';
import { GrabCutter, NothingFound } from '../../electron/media/cutout.ts';
import { prepareReference } from '../../electron/media/photo.ts';

const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: path.join(tmpdir(), 'protagonist-pairs') },
    pairs: { type: 'string', default: '100' },
    threads: { type: 'string', default: '2' },
    judge: { type: 'boolean', default: false },
  },
});
const folder = path.resolve(values.folder);
const python = (...args: string[]): string =>
  execFileSync(process.env['PYTHON'] ?? 'python3', [path.join(import.meta.dirname, 'pairs.py'), ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });

interface Pair {
  readonly photo: string;
  readonly prompt: string;
  readonly seed: number;
}
if (!existsSync(path.join(folder, 'pairs.json'))) python('draw', folder, values.pairs);
const pairs = JSON.parse(readFileSync(path.join(folder, 'pairs.json'), 'utf8')) as Pair[];
const abort = new AbortController();
process.once('SIGINT', () => abort.abort());

/** The photo as the model gets it: whole, or cut out where a mask is found; written once. */
async function reference(cutter: GrabCutter, photo: string, cutOut: boolean): Promise<string> {
  const whole = path.join(folder, photo);
  const out = whole.replace(/\.jpg$/, cutOut ? '-cut-out.png' : '-whole.png');
  if (existsSync(out)) return out;
  const cut =
    cutOut &&
    (await cutter.cutOut({ photo: { path: whole } }, abort.signal).catch((error: unknown) => {
      if (error instanceof NothingFound) return undefined;
      throw error;
    }));
  const mask = whole.replace(/\.jpg$/, '-mask.png');
  if (cutOut) writeFileSync(whole.replace(/\.jpg$/, '-confidence.txt'), String(cut ? cut.confidence : 0));
  if (cut) writeFileSync(mask, cut.mask.bytes);
  const bytes = await prepareReference({ photo: whole, crop: null, mask: cut ? mask : null, cutOut: Boolean(cut) });
  writeFileSync(`${out}.part`, bytes);
  renameSync(`${out}.part`, out);
  return out;
}

if (!values.judge) {
  const cutter = new GrabCutter();
  const engine = clipEngine();
  try {
    for (const { photo, prompt, seed } of pairs)
      for (const row of ['whole', 'cut-out'] as const) {
        const out = path.join(folder, photo.replace(/\.jpg$/, `-${row}.mp4`));
        if (existsSync(out)) continue;
        const began = performance.now();
        const picture = await reference(cutter, photo, row === 'cut-out');
        const words = ['--subject', picture, '--prompt', prompt, '--seed', String(seed), '--out', out];
        const order = await readOrder([...words, '--preview-seconds', '0', '--threads', values.threads]);
        await engine.run(order, () => undefined, abort.signal);
        console.log(`${path.basename(out)} ${((performance.now() - began) / 1000).toFixed(1)} s`);
      }
  } finally {
    cutter.close();
    await engine.close();
  }
}
console.log(python('judge', folder).trim());

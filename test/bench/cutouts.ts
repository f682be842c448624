/**
 * @file Measures cut-outs and photo checks: `node test/bench/cutouts.ts [--photos FOLDER] [--seed 3100000001] [--most 60] [--only found|masks|checks]`.
 *
 * The photos are rendered once into FOLDER by cutouts.py, which says how (PYTHON: one with torch and Pillow; g++). Seeds from 3,100,000,000 on are
 * for judging only; whoever changes a threshold does it on others (3,000,000,001 was used).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { GrabCutter, NothingFound, type CutOut, type CutOutRequest } from '../../electron/media/cutout.ts';
import { lookAt, lookAtAll, type Seen } from '../../electron/media/photo-check.ts';
import { subjectBox } from '../../native-models/photos/checks.ts';

const { values } = parseArgs({
  options: {
    photos: { type: 'string', default: path.join(tmpdir(), 'protagonist-cutouts') },
    seed: { type: 'string', default: '3100000001' },
    most: { type: 'string', default: '60' },
    only: { type: 'string' },
  },
});
interface Entry {
  readonly photo: string;
  readonly mask: string;
  readonly on: string;
  readonly kind: 'scene' | 'texture';
}
function made(name: string, seed: number, count: number, ...rest: string[]): (Entry & { folder: string })[] {
  const folder = path.join(values.photos, name);
  if (!existsSync(path.join(folder, 'photos.json')))
    execFileSync(
      process.env['PYTHON'] ?? 'python3',
      [path.join(import.meta.dirname, 'cutouts.py'), folder, String(seed), String(count), '768', ...rest],
      {
        stdio: 'inherit',
      },
    );
  return (JSON.parse(readFileSync(path.join(folder, 'photos.json'), 'utf8')) as Entry[]).map(entry => ({ ...entry, folder }));
}
const judged = made('judge', Number(values.seed), 60).slice(0, Number(values.most));
const bare = made('judge-bare', Number(values.seed) + 1, 20, 'bare').slice(0, 20);

/** Numbers in [0, 1), the same each time. */
let state = 12345;
const random = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
const grey = async (png: Uint8Array | string): Promise<Uint8Array> => sharp(png).toColourspace('b-w').raw().toBuffer();
const middle = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;
const cutter = new GrabCutter();

function iou(mask: Uint8Array, truth: Uint8Array): number {
  let [both, any] = [0, 0];
  mask.forEach((value, i) => {
    const [a, b] = [value > 127, truth[i]! > 127];
    if (a && b) both++;
    if (a || b) any++;
  });
  return any === 0 ? 0 : both / any;
}

/** A cut-out, or undefined where the cutter finds nothing. */
const cutOut = (request: CutOutRequest): Promise<CutOut | undefined> =>
  cutter.cutOut(request).catch((error: unknown) => {
    if (error instanceof NothingFound) return undefined;
    throw error;
  });

/** A stroke where a mask is most wrong: in the middle of the largest square of pixels that are wrong alike. */
function correction(
  mask: Uint8Array,
  truth: Uint8Array,
  width: number,
): { subject: boolean; radius: number; points: [number, number][] } | undefined {
  const runs = new Uint16Array(mask.length);
  let best = 0;
  for (let i = 0; i < mask.length; i++) {
    const wrong = (j: number): number => (mask[j]! > 127 === truth[j]! > 127 ? 0 : truth[j]! > 127 ? 1 : 2);
    const kind = wrong(i);
    if (kind === 0 || i % width === 0 || i < width) continue;
    const same = [i - 1, i - width, i - width - 1].map(j => (wrong(j) === kind ? runs[j]! : 0));
    runs[i] = Math.min(...same) + 1;
    if (runs[i]! > runs[best]!) best = i;
  }
  const side = runs[best]!;
  if (side < 6) return undefined;
  const at: [number, number] = [(best % width) - side / 2, Math.floor(best / width) - side / 2];
  return {
    subject: truth[best]! > 127,
    radius: side / 4,
    points: [
      [at[0] - side / 5, at[1]],
      [at[0] + side / 5, at[1]],
    ],
  };
}

async function masks(): Promise<void> {
  const modes = ['by itself', 'by itself, off the centre', 'rectangle', 'one stroke after it', 'two strokes after it'] as const;
  const found = new Map<string, { kind: string; iou: number; ms: number; confidence: number; named: string }[]>(
    modes.map(mode => [mode, []]),
  );
  for (const { folder, photo, mask, kind, on } of judged) {
    const file = path.join(folder, photo);
    const truth = await grey(path.join(folder, mask));
    const { width, height } = await sharp(file).metadata();
    const box = subjectBox(truth, { width, height })!;
    const note = async (mode: string, request: CutOutRequest, against: Uint8Array): Promise<CutOut | undefined> => {
      const began = performance.now();
      const cut = await cutOut(request);
      const ms = performance.now() - began;
      found.get(mode)!.push({
        kind,
        ms,
        named: `${photo} ${on}`,
        iou: cut ? iou(await grey(cut.mask.bytes), against) : 0,
        confidence: cut?.confidence ?? 0,
      });
      return cut;
    };
    await note('by itself', { photo: { path: file } }, truth);
    if (values.only === 'found') continue;
    const around = (): number => width * (0.01 + 0.03 * random());
    const [x, y] = [box.x - around(), box.y - around()];
    let last = await note(
      'rectangle',
      { photo: { path: file }, rectangle: { x, y, width: box.x + box.width + around() - x, height: box.y + box.height + around() - y } },
      truth,
    );
    const strokes: NonNullable<ReturnType<typeof correction>>[] = [];
    for (const mode of modes.slice(3)) {
      const stroke = last && correction(await grey(last.mask.bytes), truth, width);
      if (stroke) strokes.push(stroke);
      last = await note(mode, { photo: { path: file }, strokes, ...(last && { previous: last.mask.bytes }) }, truth);
    }
    // the same photo cropped so that the subject stands anywhere, with a twentieth of the photo around it at least
    const room = Math.round(width * 0.05);
    const left = Math.round(random() * Math.max(box.x - room, 0));
    const top = Math.round(random() * Math.max(box.y - room, 0));
    const right = Math.round(Math.min(box.x + box.width + room, width) + random() * Math.max(width - box.x - box.width - room, 0));
    const bottom = Math.round(Math.min(box.y + box.height + room, height) + random() * Math.max(height - box.y - box.height - room, 0));
    const part = { left, top, width: right - left, height: bottom - top };
    const [bytes, cropped] = [
      await sharp(file).extract(part).png().toBuffer(),
      await sharp(path.join(folder, mask)).extract(part).png().toBuffer(),
    ];
    await note(modes[1], { photo: { bytes, name: photo } }, await grey(cropped));
  }
  console.log(
    `IoU on ${judged.length} photos of 768x768: median (scenes / textures), tenth from below, below 0.80; milliseconds: median, worst`,
  );
  for (const [mode, results] of found) {
    if (results.length === 0) continue;
    const of = (kind?: string): string => middle(results.filter(r => !kind || r.kind === kind).map(r => r.iou)).toFixed(3);
    const sorted = results.map(r => r.iou).sort((a, b) => a - b);
    console.log(
      `${mode.padEnd(28)}${of()} (${of('scene')} / ${of('texture')})  ${sorted[Math.floor(sorted.length / 10)]!.toFixed(3)}  ${sorted.filter(v => v < 0.8).length}` +
        `   ${middle(results.map(r => r.ms)).toFixed(0)}, ${Math.max(...results.map(r => r.ms)).toFixed(0)} ms`,
    );
    const poor = results.filter(r => r.iou < 0.8).map(r => `${r.named} ${r.iou.toFixed(2)} (confidence ${r.confidence.toFixed(2)})`);
    if (poor.length > 0) console.log(`    ${poor.join(', ')}`);
  }
}

/** What the product says of a photo, problem by problem. */
const work = mkdtempSync(path.join(tmpdir(), 'protagonist-checks-'));
let written = 0;
async function seenIn(bytes: Buffer): Promise<{ findings: ReadonlyMap<string, Finding>; hash: bigint }> {
  const file = path.join(work, `${written++}`);
  writeFileSync(file, bytes);
  const { findings, hash } = (await lookAt({ name: 'photo', photo: file, crop: null, mask: null, onWhite: false }, cutter))!;
  return { findings: new Map(findings.map(finding => [finding.problem, finding])), hash };
}
type Finding = Seen['findings'][number];

async function checksOf(): Promise<void> {
  const good = judged.slice(0, 20);
  const read = good.map(({ folder, photo }) => readFileSync(path.join(folder, photo)));
  const truth = (n: number): string => path.join(good[n]!.folder, good[n]!.mask);
  const boxOf = async (n: number) => subjectBox(await grey(truth(n)), { width: 768, height: 768 })!;
  const fine: Awaited<ReturnType<typeof seenIn>>[] = [];
  for (const bytes of read) fine.push(await seenIn(bytes));
  console.log('checks on 20 bad and 20 good photos: hits, false alarms, what else the bad ones were told');

  const line = (name: string, hits: number, alarms: number, more: string): void => {
    console.log(`${name.padEnd(20)} ${hits} of 20, ${alarms} of 20   ${more}`);
  };
  const report = async (problem: string, bad: readonly (() => Promise<Buffer>)[]): Promise<void> => {
    const missed: number[] = [];
    const besides = new Map<string, number>();
    for (const [n, make] of bad.entries()) {
      const { findings } = await seenIn(await make());
      if (!findings.has(problem)) missed.push(n);
      for (const other of findings.keys()) if (other !== problem) besides.set(other, (besides.get(other) ?? 0) + 1);
    }
    const alarms = fine.flatMap(({ findings }, n) => (findings.has(problem) ? [`${n}: ${findings.get(problem)!.value.toFixed(2)}`] : []));
    const more = [...besides].map(([other, count]) => `${other} ${count}`).join(', ');
    line(
      problem,
      bad.length - missed.length,
      alarms.length,
      `missed ${missed.join(' ') || '-'}; alarms ${alarms.join(', ') || '-'}; besides ${more || '-'}`,
    );
  };

  await report(
    'tooSmall',
    read.map(
      bytes => () =>
        sharp(bytes)
          .resize(Math.round(60 + 190 * random()))
          .png()
          .toBuffer(),
    ),
  );
  await report(
    'tooSmall',
    read.map((bytes, n) => async () => {
      // a large photo in which the subject is small
      const side = Math.round(60 + 90 * random());
      const box = await boxOf(n);
      const area = { left: box.x, top: box.y, width: box.width, height: box.height };
      const mask = await sharp(truth(n)).extract(area).toColourspace('b-w').raw().toBuffer();
      const cut = await sharp(await sharp(bytes).extract(area).removeAlpha().raw().toBuffer(), {
        raw: { width: box.width, height: box.height, channels: 3 },
      })
        .joinChannel(mask, { raw: { width: box.width, height: box.height, channels: 1 } })
        .png()
        .toBuffer();
      const toy = await sharp(cut).resize(side, side, { fit: 'inside' }).png().toBuffer();
      const ground = bare[n]!;
      const at = (): number => Math.round(200 + 250 * random());
      return sharp(path.join(ground.folder, ground.photo))
        .composite([{ input: toy, left: at(), top: at() }])
        .png()
        .toBuffer();
    }),
  );
  await report(
    'cutOff',
    read.map((bytes, n) => async () => {
      const box = await boxOf(n);
      const share = 0.15 + 0.3 * random();
      const [across, down] = [Math.round(box.width * share), Math.round(box.height * share)];
      const part = [
        { left: box.x + across, top: 0, width: 768 - box.x - across, height: 768 },
        { left: 0, top: 0, width: box.x + box.width - across, height: 768 },
        { left: 0, top: box.y + down, width: 768, height: 768 - box.y - down },
        { left: 0, top: 0, width: 768, height: box.y + box.height - down },
      ][n % 4]!;
      return sharp(bytes).extract(part).png().toBuffer();
    }),
  );
  await report(
    'blurred',
    read.map(
      bytes => () =>
        sharp(bytes)
          .blur(3 + 3 * random())
          .jpeg({ quality: 90 })
          .toBuffer(),
    ),
  );
  await report(
    'nothingStandsOut',
    bare.map(
      ({ folder, photo }) =>
        () =>
          Promise.resolve(readFileSync(path.join(folder, photo))),
    ),
  );

  const together = (hashes: readonly bigint[]): boolean =>
    lookAtAll(hashes.map(hash => ({ name: 'photo', hash, view: null }))).some(({ finding }) => finding.problem === 'nearDuplicate');
  let [hits, alarms] = [0, 0];
  for (const [n, bytes] of read.entries()) {
    const side = Math.round(768 * 0.98);
    const again = await sharp(bytes)
      .extract({ left: Math.round(random() * (768 - side)), top: Math.round(random() * (768 - side)), width: side, height: side })
      .modulate({ brightness: 0.9 + 0.2 * random() })
      .resize(Math.round(768 * (0.5 + 0.4 * random())))
      .jpeg({ quality: 60 })
      .toBuffer();
    if (together([fine[n]!.hash, (await seenIn(again)).hash])) hits++;
    const other = judged[(n + 16) % judged.length]!; // another toy before the same kind of backdrop
    if (together([fine[n]!.hash, (await seenIn(readFileSync(path.join(other.folder, other.photo)))).hash])) alarms++;
  }
  line('nearDuplicate', hits, alarms, '');

  const views = ['front', 'side', 'back'];
  const labels = Array.from({ length: 20 }, () => [...views, ...(random() < 0.5 ? ['detail'] : [])]);
  const told = (all: readonly string[]): boolean =>
    lookAtAll(all.map((view, n) => ({ name: 'photo', hash: BigInt(n), view }))).some(({ finding }) => finding.problem === 'viewsMissing');
  line('viewsMissing', labels.filter((all, n) => told(all.filter((_, i) => i !== n % 3))).length, labels.filter(told).length, '');
}

try {
  if (values.only !== 'checks') await masks();
  if (values.only === undefined || values.only === 'checks') await checksOf();
} finally {
  cutter.close();
  rmSync(work, { recursive: true });
}

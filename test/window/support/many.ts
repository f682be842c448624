/** @file Libraries of any size, filled as years of use would, with pictures that are really there: a few files that all clips share by hard links. */
import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { findFfmpeg } from '../../../electron/media/ffmpeg.ts';
import { clipsPart } from '../../../electron/studio/clips.ts';
import { openDatabase } from '../../../electron/studio/database.ts';
import type { Library } from '../../../electron/studio/library.ts';
import { migrate } from '../../../electron/studio/migrations.ts';
import { subjectsPart } from '../../../electron/studio/subjects.ts';
import { fill } from '../../support/library.ts';
import { root } from '../../support/run.ts';

/** Different pictures; more clips than a file system links to one file need several in any case. */
const kinds = 12;
/** Frames of a strip. */
const columns = 16;

/** A poster and a strip of a clip whose toy turns through colours, as sharp and as large as real ones. */
async function pictures(at: string, toy: Buffer, kind: number): Promise<void> {
  const frame = (i: number, size: number) =>
    sharp(toy)
      .resize(size, size)
      .modulate({ hue: (kind * 31 + i * 6) % 360, brightness: 0.85 + (i % 8) / 40 })
      .toBuffer();
  await sharp(await frame(8, 362)).jpeg({ quality: 82 }).toFile(join(at, `${kind}.jpg`)); // prettier-ignore
  const frames = await Promise.all(Array.from({ length: columns }, (_, i) => frame(i, 192)));
  await sharp({ create: { width: columns * 192, height: 192, channels: 3, background: 'black' } })
    .composite(frames.map((input, i) => ({ input, left: i * 192, top: 0 })))
    .jpeg({ quality: 78 })
    .toFile(join(at, `${kind}-strip.jpg`));
}

/** Fills the library at `home`; what is there already stays as it is.
 * @returns whether it was filled now */
export async function manyClips(home: string, size: { clips: number; subjects: number }): Promise<boolean> {
  if (existsSync(join(home, 'filled'))) return false;
  rmSync(home, { recursive: true, force: true });
  for (const name of ['clips', 'previews', 'shared']) mkdirSync(join(home, name), { recursive: true });
  const shared = join(home, 'shared'),
    photos = join(root, 'assets/toybox/photos'),
    toys = readdirSync(photos).filter(name => name.endsWith('.jpg'));
  for (let kind = 0; kind < kinds; kind++) await pictures(shared, readFileSync(join(photos, toys[kind % toys.length]!)), kind);
  const { path } = await findFfmpeg();
  execFileSync(path, ['-loglevel', 'error', '-f', 'lavfi', '-i', 'testsrc=size=128x128:rate=8', '-frames:v', '17', '-pix_fmt', 'yuv420p', join(shared, 'clip.mp4')]); // prettier-ignore
  for (let kind = 0; kind < kinds; kind++) writeFileSync(join(shared, `${kind}.mp4`), readFileSync(join(shared, 'clip.mp4')));

  const db = openDatabase(join(home, 'library.db'));
  await migrate(db);
  const library: Library = { home, db, say: () => undefined };
  await fill(library, { subjects: subjectsPart(library), clips: clipsPart(library) }, size);
  db.close();
  for (let n = 1; n <= size.clips; n++)
    for (const [from, to] of [
      ['.mp4', `clips/clip-${n}.mp4`],
      ['.jpg', `previews/clip-${n}.jpg`],
      ['-strip.jpg', `previews/clip-${n}-strip.jpg`],
    ])
      // prettier-ignore
      linkSync(join(shared, `${n % kinds}${from!}`), join(home, to!));
  writeFileSync(join(home, 'filled'), '');
  return true;
}

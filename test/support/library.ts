/** @file Real libraries in temporary folders, and clips to fill them with. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { api } from '../../electron/contract/api.ts';
import { StudioError, type ErrorCode } from '../../electron/contract/errors.ts';
import type { StudioEvent } from '../../electron/contract/events.ts';
import type { Clip } from '../../electron/contract/records.ts';
import { client, host, inProcess } from '../../electron/contract/rpc.ts';
import { clipsPart, type ClipsPart, type NewClip } from '../../electron/studio/clips.ts';
import { DatabaseError, openDatabase } from '../../electron/studio/database.ts';
import { describeFailure } from '../../electron/studio/failures.ts';
import type { Library } from '../../electron/studio/library.ts';
import { migrate } from '../../electron/studio/migrations.ts';
import { subjectsPart, type SubjectsPart } from '../../electron/studio/subjects.ts';
import { randoms } from './random.ts';

/** A new library of the newest version; `events` is what it has said, `close` ends it and removes its folder. */
export async function newLibrary(): Promise<Library & { readonly events: StudioEvent[]; close(): void }> {
  const home = mkdtempSync(join(tmpdir(), 'protagonist-library-'));
  const db = openDatabase(join(home, 'library.db'));
  await migrate(db);
  const events: StudioEvent[] = [];
  return {
    home,
    db,
    events,
    say: event => db.afterCommit(() => void events.push(event)),
    close: () => {
      db.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The subjects and clips of a library as any client sees them, with input parsed and errors described, and the parts behind them. */
export function openParts(library: Library) {
  const table = { subjects: api.subjects, clips: api.clips };
  const parts = { subjects: subjectsPart(library), clips: clipsPart(library) };
  const answer = host(table, parts, error => describeFailure(error));
  return {
    ...client(
      table,
      inProcess(answer, () => () => undefined),
    ),
    parts,
  };
}

const digest = (n: number) => n.toString(16).padStart(64, '0');
/** A clip of `prompt`, as the queue hands it over; its files are not there. */
export function clipLike(n: number, given: Partial<NewClip> & { readonly prompt?: string } = {}): NewClip {
  const { prompt = 'the toy hops on the beach', subjects = [], ...rest } = given;
  const request: NonNullable<Clip['request']> = {
    version: 1, prompt, negativePrompt: '', subjects: subjects.map(s => s.id), photos: null, cutOut: false, startImage: null, checkpoint: null, adapters: null, seed: null, numInferenceSteps: null, guidanceScale: null, useDynamicCfg: false,
    scheduler: null, numFrames: null, width: null, height: null, fps: null, fit: 'contain', precision: 'auto', noiseDtype: 'float32', vaeTiling: false, device: null,
  }; // prettier-ignore
  const resolved: NonNullable<Clip['resolved']> = {
    version: 1, prompt: subjects.reduce((s, { handle, name }) => s.replaceAll(`@${handle}`, name), prompt), negativePrompt: '', subjects: [...subjects],
    references: [], startImage: null, checkpoint: { id: 'k1', name: 'Toybox', sha256: digest(1) }, adapters: [{ id: 'a1', name: 'Toybox subject', sha256: digest(2), scale: 1 }], seed: n, numInferenceSteps: 20, guidanceScale: 6,
    useDynamicCfg: false, scheduler: 'ddim', numFrames: 17, width: 128, height: 128, fps: 8, fit: 'contain', precision: 'auto', noiseDtype: 'float32', vaeTiling: false, device: 'cpu',
  }; // prettier-ignore
  return {
    name: prompt.slice(0, 60), jobId: null, request, resolved, seed: n, subjects, checkpoint: { name: 'Toybox', sha256: digest(1) }, adapters: [{ name: 'Toybox subject', sha256: digest(2), scale: 1 }], device: 'cpu',
    timings: { load: 1.5, encode: 0.7, denoise: 12.25, decode: 3.5, export: 0.4 }, width: 128, height: 128, numFrames: 17, fps: 8, sha256: digest(n), spriteColumns: 16, parents: [],
    files: { video: `clips/clip-${n}.mp4`, poster: `previews/clip-${n}.jpg`, sprite: `previews/clip-${n}-strip.jpg`, latents: null },
    ...rest,
  }; // prettier-ignore
}

const common =
  'a the on in with under slowly quickly beach forest river mountain city street lamp rain snow sun golden silver camera moves pans follows close wide shot cinematic lighting soft warm cold morning evening night sky cloud bird tree flower garden kitchen table chair window door wooden marble stone glass water wave boat train car wheel runs jumps hops turns smiles looks waves sits stands walks dances sleeps opens closes lifts drops holds carries throws catches red blue green yellow orange purple pink white black brown small large tiny huge old young happy sad curious brave gentle toy robot cat dog bear rabbit fox owl dragon knight wizard astronaut sailor painter baker farmer market castle bridge tower island desert jungle meadow valley cave lighthouse harbor station library museum theater playground carnival festival parade fireworks lantern balloon kite umbrella bicycle skateboard guitar piano violin drum trumpet'.split(
    ' ',
  );
const chinese = Array.from(
  '的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其里所去行过家十用发天如然作方成者多日都三小军二无同么经法当起与好看学进种将还分此心前面又定见只主没公从猫狗熊海滩玩具森林城市雨雪月光夜晚红蓝绿黄跑跳走舞',
);

/** The word that is in 40 % of the prompts, and a run of Chinese in 2 % of them. */
export const planted = { word: 'sunset', chinese: '黄昏的海滩' } as const;

/**
 * Fills a library as years of use would: prompts of 15 to 55 words, one in seven Chinese, some words rare; a few subjects in most clips; a tag in
 * 40 % of them and rarer ones; stars on 30 %, some in the trash.
 */
export async function fill(
  { db }: Pick<Library, 'db'>,
  { subjects, clips }: { subjects: SubjectsPart; clips: ClipsPart },
  size: { clips: number; subjects: number },
): Promise<void> {
  const next = randoms(2026);
  const pick = <T>(list: readonly T[], bend = 1): T => list[Math.floor(next() ** bend * list.length)]!;
  const rare = Array.from({ length: 5000 }, () =>
    Array.from({ length: 4 + next() * 6 }, () => pick(Array.from('abcdefghijklmnoprstuvwy'))).join(''),
  );
  const people: { id: `s${number}`; name: string; handle: string }[] = [];
  for (let i = 0; i < size.subjects; i++) {
    const name = `${pick(rare)} ${pick(common)}`;
    const { subject } = await subjects.add(
      { name, kind: 'toy', description: `the ${name}`, tags: [], notes: '', photos: [] },
      new AbortController().signal,
    );
    people.push({ id: `s${Number(subject.id.slice(1))}`, name, handle: subject.handle });
  }
  const prompt = () => {
    if (next() < 0.15) {
      const signs = Array.from({ length: 20 + next() * 40 }, () => pick(chinese, 1.5));
      if (next() < 0.13) signs.splice(5, 0, planted.chinese);
      return signs.join('');
    }
    const words = Array.from({ length: 15 + next() * 40 }, () => (next() < 0.08 ? pick(rare) : pick(common, 1.6)));
    if (next() < 0.4 / 0.85) words.splice(3, 0, planted.word);
    return words.join(' ');
  };
  const batch = 500;
  for (let at = 0; at < size.clips; at += batch)
    db.transaction(() => {
      for (let n = at; n < Math.min(at + batch, size.clips); n++) {
        const about = pick(people, 2.5);
        const tags = [...(next() < 0.4 ? ['keep'] : []), `tag ${Math.floor(200 * next() ** 3)}`];
        const { id } = clips.add(clipLike(n + 1, { prompt: `@${about.handle} ${prompt()}`, subjects: [about], tags }));
        if (next() < 0.3) void clips.edit({ id, stars: 1 + Math.floor(next() * 5) }, new AbortController().signal);
      }
    });
  const trash = Array.from({ length: size.clips / 50 }, () => `c${1 + Math.floor(next() * size.clips)}` as const);
  if (trash.length) await clips.trash({ ids: trash }, new AbortController().signal);
}

/** For assert.rejects: a refusal with this code, and a sentence with all of these in it. */
export const refused =
  (code: ErrorCode, ...words: RegExp[]) =>
  (e: unknown): true => {
    assert.ok(e instanceof StudioError, String(e));
    assert.equal(e.code, code, e.message);
    for (const w of words) assert.match(e.message, w);
    return true;
  };

/** The same for what the database's door refuses: one sentence. */
export const refusedByDatabase =
  (code: DatabaseError['code'], text: RegExp) =>
  (error: unknown): true => {
    assert.ok(error instanceof DatabaseError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    assert.ok(!error.message.includes('\n'));
    return true;
  };

/** @file `subject` and `subject photo`. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { addAbortSignal } from 'node:stream';
import type { z } from 'zod';
import type { api, Source } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import type { Photo, Subject } from '../contract/records.ts';
import { UsageError } from './arguments.ts';
import { deletesForGood } from './ask.ts';
import { pathOf, photoIdOf, subjectIdOf, subjectOf, tagsOf } from './names.ts';
import { card, counted, size, table, when } from './print.ts';
import { onlyGiven, verb, type Answer, type OptionTable } from './verb.ts';

type Imported = z.output<(typeof api)['subjects']['add']['output']>;
type Kind = Subject['kind'];

const fields = {
  name: ['text', 'NAME', 'what it is called'],
  kind: ['text', 'KIND', 'person, pet, toy, product, character or other'],
  handle: ['text', '@H', 'how a prompt names it (made from the name if not given)'],
  description: ['text', 'TEXT', 'what its @handle becomes in a prompt, such as: a green plush turtle'],
  tag: ['each', 'T', 'again for each, or T,T'],
  notes: ['text', 'TEXT', 'for yourself'],
} as const satisfies OptionTable;

/** Most bytes that are read from standard input: what the API takes of one photo. */
const most = 262_500_000;
/** All of standard input, read without standing still: whoever owns the library answers others meanwhile.
 * @throws UsageError, StudioError `canceled` */
async function readInput(signal: AbortSignal): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of addAbortSignal(signal, process.stdin) as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > most) throw new UsageError(`the picture on standard input is larger than ${size(most)}: give one that is smaller`);
      pieces.push(piece);
    }
  } catch (e) {
    if (e instanceof UsageError) throw e;
    if (signal.aborted) throw new StudioError('canceled', 'canceled', { cause: e });
    throw new UsageError(`- stands for a picture on standard input, which cannot be read: ${(e as Error).message}`);
  }
  return Buffer.concat(pieces);
}
async function sourcesOf(words: readonly string[], signal: AbortSignal): Promise<Source[]> {
  if (words.indexOf('-') !== words.lastIndexOf('-'))
    throw new UsageError('- is given twice, and standard input holds one picture: give it once');
  const sources: Source[] = [];
  for (const word of words)
    sources.push(word === '-' ? { name: 'pasted', base64: (await readInput(signal)).toString('base64') } : { path: pathOf(word) });
  return sources;
}

function importedAnswer({ subject, added, duplicates, refused }: Imported, isNew: boolean): Answer {
  const photos = `${isNew ? '' : 'added '}${counted(added.length, 'photo')}`;
  return {
    json: { type: 'imported', subject, added, duplicates, refused },
    text: [
      `${subject.name} is @${subject.handle} (${subject.id}): ${photos}${added.length ? ` (${added.join(' ')})` : ''}${subject.heroPhotoId ? `, hero ${subject.heroPhotoId}` : ''}`,
      ...duplicates.map(d => `  already there: ${d.name} is ${d.photoId}`),
      ...refused.map(r => `  not taken: ${r.name}: ${r.text}`),
    ],
    status: refused.length ? 1 : 0,
  };
}
const area = ({ crop }: Photo) => crop && `${crop.x},${crop.y},${crop.width},${crop.height}`;
const photoRows = ({ heroPhotoId, photos }: Subject) =>
  photos.map(p => [
    p.id,
    p.id === heroPhotoId ? 'hero' : '',
    p.view ?? '',
    `${p.width}x${p.height}`,
    area(p) ?? '',
    p.mask === null ? '' : 'mask',
    p.missing ? 'missing' : p.removed ? 'removed' : '',
    p.name,
  ]);
function subjectCard(s: Subject): string[] {
  const lines = card(`${s.name}  @${s.handle}  ${s.id}${s.removed ? '  removed' : ''}`, [
    ['kind', s.kind],
    ['description', s.description],
    ['tags', s.tags.join(', ')],
    ['notes', s.notes],
    ['clips', String(s.clips)],
    ['adapters', s.adapters.join(' ')],
    ['added', when(s.createdAt)],
  ]);
  const photos = s.photos.length ? table(['photo', '', 'view', 'size', 'crop', '', '', 'file'], photoRows(s)) : ['no photos yet'];
  return [...lines, ...photos.map(line => `  ${line}`)];
}
const shown = (subject: Subject): Answer => ({ json: { type: 'subject', subject }, text: subjectCard(subject) });

export const subjectVerbs = [
  verb({
    name: 'subject add',
    takes: '[PHOTO...]',
    help: 'a new subject with photos: files, folders, or - for a picture on standard input',
    options: fields,
    uses: ['subjects.add'],
    act: async ({ client, words, options: o, signal }) => {
      if (o.name === undefined) throw new UsageError('--name is missing: say what the subject is called');
      const { kind, handle, description, notes } = o;
      return importedAnswer(
        await client.subjects.add({
          name: o.name,
          photos: await sourcesOf(words, signal),
          ...onlyGiven({ kind: kind as Kind | undefined, handle, description, notes, tags: tagsOf(o.tag) }),
        }),
        true,
      );
    },
  }),
  verb({
    name: 'subject samples',
    takes: '',
    help: 'the toys that come with Toybox, each as a subject with its photo',
    uses: ['subjects.addSamples'],
    act: async ({ client }) => {
      const { subjects } = await client.subjects.addSamples({});
      return {
        json: { type: 'subjects', subjects, next: null },
        text: table(
          ['id', 'handle', 'description'],
          subjects.map(s => [s.id, `@${s.handle}`, s.description]),
        ),
      };
    },
  }),
  verb({
    name: 'subject list',
    takes: '',
    help: 'who the library knows',
    options: {
      search: ['text', 'TEXT', 'whose name, handle, tags or description have these words'],
      removed: ['flag', '', 'those that were removed'],
      limit: ['number', 'N', 'at most so many (60)'],
      after: ['text', 'S', 'go on behind this one'],
    },
    uses: ['subjects.list'],
    act: async ({ client, options }) => {
      const { search, removed, limit, after } = options;
      const { subjects, next } = await client.subjects.list(
        onlyGiven({ search, removed, limit, after: after === undefined ? undefined : subjectIdOf(after) }),
      );
      const rows = subjects.map(s => [
        s.id,
        `@${s.handle}`,
        s.kind,
        String(s.photos.filter(p => !p.removed).length),
        String(s.clips),
        s.name,
      ]);
      return {
        json: { type: 'subjects', subjects, next },
        text: rows.length
          ? [...table(['id', 'handle', 'kind', 'photos>', 'clips>', 'name'], rows), ...(next ? [`more: --after ${next}`] : [])]
          : [
              search
                ? 'no subject fits'
                : removed
                  ? 'no subject was removed'
                  : 'no subjects yet: protagonist subject add --name NAME PHOTO... makes one',
            ],
      };
    },
  }),
  verb({
    name: 'subject show',
    takes: 'SUBJECT',
    help: 'one subject with its photos; SUBJECT is @kelp or s1',
    uses: ['subjects.show'],
    act: async ({ client, words }) => shown(await subjectOf(client, words[0]!)),
  }),
  verb({
    name: 'subject edit',
    takes: 'SUBJECT',
    help: 'change what the options say and nothing else',
    options: { ...fields, hero: ['text', 'P', 'the photo that reaches the model, such as p3'] },
    more: "--tag replaces all tags; --tag '' takes them away.",
    uses: ['subjects.show', 'subjects.edit'],
    act: async ({ client, words, options: o }) => {
      const { name, kind, handle, description, notes } = o;
      const changes = onlyGiven({
        name,
        kind: kind as Kind | undefined,
        handle,
        description,
        notes,
        tags: tagsOf(o.tag),
        heroPhotoId: o.hero === undefined ? undefined : photoIdOf(o.hero),
      });
      if (!Object.keys(changes).length) throw new UsageError('nothing to change: name an option, such as --name or --description');
      const { id } = await subjectOf(client, words[0]!);
      return shown(await client.subjects.edit({ id, ...changes }));
    },
  }),
  verb({
    name: 'subject tag',
    takes: 'SUBJECT',
    help: 'put tags on a subject and take them off',
    options: { add: ['each', 'T', 'again for each, or T,T'], remove: ['each', 'T', 'again for each, or T,T'] },
    uses: ['subjects.show', 'subjects.edit'],
    act: async ({ client, words, options: o }) => {
      if (!o.add && !o.remove) throw new UsageError('nothing to change: name --add T or --remove T');
      const { id } = await subjectOf(client, words[0]!);
      return shown(await client.subjects.edit({ id, ...onlyGiven({ addTags: tagsOf(o.add), removeTags: tagsOf(o.remove) }) }));
    },
  }),
  verb({
    name: 'subject remove',
    takes: 'SUBJECT',
    help: 'hide a subject; its clips stay, and restore brings it back',
    uses: ['subjects.show', 'subjects.remove'],
    act: async ({ client, words }) => {
      const subject = await client.subjects.remove({ id: (await subjectOf(client, words[0]!)).id });
      return {
        json: { type: 'subject', subject },
        text: [
          `${subject.name} is removed, ${counted(subject.clips, 'clip')} kept: protagonist subject restore ${subject.id} brings it back`,
        ],
      };
    },
  }),
  verb({
    name: 'subject restore',
    takes: 'SUBJECT',
    help: 'bring a removed subject back; SUBJECT is its id (subject list --removed)',
    uses: ['subjects.show', 'subjects.restore'],
    act: async ({ client, words }) => shown(await client.subjects.restore({ id: (await subjectOf(client, words[0]!)).id })),
  }),
  verb({
    name: 'subject erase',
    takes: '[SUBJECT...]',
    help: 'delete removed subjects and photos for good, these or all; clips stay',
    options: { yes: ['flag', '', 'do not ask'] },
    uses: ['subjects.erase'],
    act: async ({ client, words, options, signal }) => {
      const ids = words.map(subjectIdOf),
        what = ids.length ? counted(ids.length, 'subject') : 'every removed subject and photo';
      if (!(await deletesForGood(what, options, signal)))
        return { json: { type: 'erased', subjects: 0, photos: 0, bytes: 0 }, text: ['nothing was deleted'], status: 130 };
      const erased = await client.subjects.erase({ ids: ids.length ? ids : null });
      return {
        json: { type: 'erased', ...erased },
        text: [`${counted(erased.subjects, 'subject')} and ${counted(erased.photos, 'photo')} deleted, ${size(erased.bytes)} freed`],
      };
    },
  }),
  verb({
    name: 'subject photo add',
    takes: 'SUBJECT PHOTO...',
    help: 'more photos: files, folders, or - for a picture on standard input',
    uses: ['subjects.show', 'subjects.addPhotos'],
    act: async ({ client, words, signal }) => {
      const photos = await sourcesOf(words.slice(1), signal);
      const { id } = await subjectOf(client, words[0]!);
      return importedAnswer(await client.subjects.addPhotos({ id, photos }), false);
    },
  }),
  verb({
    name: 'subject photo edit',
    takes: 'PHOTO',
    help: 'what a photo shows, what of it counts; PHOTO is its id (p3)',
    options: {
      view: ['text', 'VIEW', 'front, side, back, detail or none'],
      crop: ['text', 'X,Y,W,H', 'pixels as subject show gives them (photos over 4096 are stored smaller), or none'],
      mask: ['text', 'FILE', 'a picture of the same size, white or opaque where the subject is, or none'],
    },
    uses: ['subjects.editPhoto'],
    act: async ({ client, words, options: { view, crop, mask } }) => {
      const changes = onlyGiven({
        view: view === 'none' ? null : (view as NonNullable<Photo['view']> | undefined),
        crop: crop === undefined ? undefined : cropOf(crop),
        mask: mask === undefined ? undefined : mask === 'none' ? null : { base64: readMask('--mask', mask) },
      });
      if (!Object.keys(changes).length) throw new UsageError('nothing to change: name --view, --crop or --mask');
      return shown(await client.subjects.editPhoto({ id: photoIdOf(words[0]!), ...changes }));
    },
  }),
  verb({
    name: 'subject photo remove',
    takes: 'PHOTO',
    help: 'take a photo away; restore brings it back',
    uses: ['subjects.removePhoto'],
    act: async ({ client, words }) => shown(await client.subjects.removePhoto({ id: photoIdOf(words[0]!) })),
  }),
  verb({
    name: 'subject photo restore',
    takes: 'PHOTO',
    help: 'bring a removed photo back',
    uses: ['subjects.restorePhoto'],
    act: async ({ client, words }) => shown(await client.subjects.restorePhoto({ id: photoIdOf(words[0]!) })),
  }),
] as const;

function cropOf(text: string): Photo['crop'] {
  if (text === 'none') return null;
  const [x, y, width, height, ...more] = text.split(',').map(n => (n.trim() === '' ? NaN : Number(n)));
  const whole = [x, y, width, height].every(n => Number.isInteger(n) && n! >= 0);
  if (!whole || more.length || !width || !height)
    throw new UsageError(`--crop is X,Y,W,H in whole pixels of the photo, or none, not '${text}'`);
  return { x: x!, y: y!, width, height };
}
/** A mask's file in base64.
 * @throws UsageError naming the option that named it */
export function readMask(option: string, file: string): string {
  try {
    return readFileSync(pathOf(file)).toString('base64');
  } catch (e) {
    throw new UsageError(`${option} ${basename(file)} cannot be read: ${(e as Error).message}`);
  }
}

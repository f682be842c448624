/** @file `subject cutout`, `subject photo cutout` and `subject check`: masks for photos, and what is wrong with them. */
import { existsSync } from 'node:fs';
import type { api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import type { PhotoId } from '../contract/ids.ts';
import type { ClientOf } from '../contract/rpc.ts';
import { UsageError } from './arguments.ts';
import { pathOf, photoIdOf, subjectOf, writeNew } from './names.ts';
import { counted } from './print.ts';
import { readMask } from './subject.ts';
import { verb } from './verb.ts';

type CutOut = Awaited<ReturnType<ClientOf<typeof api>['photos']['cutOut']>>;
type Rectangle = { x: number; y: number; width: number; height: number };
type Stroke = { subject: boolean; radius: number; points: [number, number][] };

const sureOf = ({ confidence, doubtful }: CutOut): string =>
  `${doubtful ? 'a doubtful mask' : 'a mask'}, ${Math.round(100 * confidence)} % sure`;
/** What goes wrong with one photo and says nothing of the next one. */
const ofOnePhoto: ReadonlySet<string> = new Set(['badFile', 'missing']);

export const cutoutVerbs = [
  verb({
    name: 'subject cutout',
    takes: 'SUBJECT',
    help: 'find the masks of its photos that have none, so that --cut-out can use them',
    more: 'A mask that is doubtful is not kept: subject photo cutout says where the subject is.',
    options: { doubtful: ['flag', '', 'keep doubtful masks too'] },
    uses: ['subjects.show', 'photos.cutOut', 'subjects.editPhoto'],
    act: async ({ client, words, options }) => {
      const subject = await subjectOf(client, words[0]!);
      const without = subject.photos.filter(photo => !photo.removed && photo.mask === null);
      const photos: { photoId: PhotoId; kept: boolean; confidence: number | null; text: string }[] = [];
      for (const { id } of without) {
        try {
          const cut = await client.photos.cutOut({ id });
          const kept = !cut.doubtful || options.doubtful === true;
          if (kept) await client.subjects.editPhoto({ id, mask: cut.mask });
          photos.push({ photoId: id, kept, confidence: cut.confidence, text: `${sureOf(cut)}${kept ? '' : ': not kept'}` });
        } catch (e) {
          if (!(e instanceof StudioError && ofOnePhoto.has(e.code))) throw e;
          photos.push({ photoId: id, kept: false, confidence: null, text: e.message });
        }
      }
      const left = photos.filter(photo => !photo.kept);
      return {
        json: { type: 'cutOuts', subject: subject.id, photos },
        text: [
          ...photos.map(photo => `${photo.photoId}  ${photo.text}`),
          without.length === 0
            ? `every photo of ${subject.name} has a mask, or there is none`
            : `${counted(photos.length - left.length, 'mask')} kept${left.length ? `: protagonist subject photo cutout ${left[0]!.photoId} --rectangle X,Y,W,H says where the subject is` : ''}`,
        ],
        status: left.length ? 1 : 0,
      };
    },
  }),
  verb({
    name: 'subject photo cutout',
    takes: 'PHOTO',
    help: 'find the mask of one photo and keep it; PHOTO is its id (p3)',
    more: 'Pixels are those that subject show gives. Strokes that remove are drawn over those that add.\nA doubtful mask is kept only where you have said where the subject is.',
    options: {
      rectangle: ['text', 'X,Y,W,H', 'something around the whole subject'],
      add: ['each', 'X,Y,X,Y...', 'a stroke over what belongs to it; again for each'],
      remove: ['each', 'X,Y,X,Y...', 'a stroke over what does not; again for each'],
      brush: ['number', 'R', "the strokes' radius in pixels (10)"],
      from: ['text', 'FILE', 'a mask to go on from'],
      out: ['text', 'FILE.png', 'write the mask there and keep nothing'],
    },
    uses: ['photos.cutOut', 'subjects.editPhoto'],
    act: async ({ client, words, options }) => {
      const id = photoIdOf(words[0]!);
      const radius = options.brush ?? 10;
      const strokes = [
        ...(options.add ?? []).map(typed => strokeOf('--add', typed, true, radius)),
        ...(options.remove ?? []).map(typed => strokeOf('--remove', typed, false, radius)),
      ];
      if (options.brush !== undefined && !strokes.length) throw new UsageError('--brush is for --add and --remove: give a stroke');
      const rectangle = options.rectangle === undefined ? undefined : rectangleOf(options.rectangle);
      if (rectangle && options.from !== undefined)
        throw new UsageError('--rectangle begins a new mask and --from goes on from one: leave one out');
      const out = options.out === undefined ? undefined : pathOf(options.out);
      if (out !== undefined && existsSync(out)) throw new UsageError(`--out ${out} is there already: choose another name`);
      const previous = options.from === undefined ? undefined : { base64: readMask('--from', options.from) };
      const cut = await client.photos.cutOut({ id, strokes, ...(rectangle && { rectangle }), ...(previous && { previous }) });
      const { confidence, doubtful } = cut;
      const json = { type: 'cutOut', photoId: id, confidence, doubtful } as const;
      if (out !== undefined) {
        writeNew(out, cut.mask.base64);
        return { json: { ...json, kept: false, out }, text: [`${out} is ${sureOf(cut)}`] };
      }
      const pointed = rectangle !== undefined || previous !== undefined || strokes.length > 0;
      if (doubtful && !pointed)
        return {
          json: { ...json, kept: false },
          text: [`${id}: ${sureOf(cut)}, not kept: look at it with --out FILE.png, or say where the subject is with --rectangle or --add`],
          status: 1,
        };
      await client.subjects.editPhoto({ id, mask: cut.mask });
      return { json: { ...json, kept: true }, text: [`${id} has ${sureOf(cut)}: protagonist generate --cut-out uses it`] };
    },
  }),
  verb({
    name: 'subject check',
    takes: 'SUBJECT',
    help: 'what is wrong with its photos, in plain words',
    uses: ['subjects.show', 'photos.check'],
    act: async ({ client, words }) => {
      const { id, name, photos } = await subjectOf(client, words[0]!);
      const { findings } = await client.photos.check({ id });
      return {
        json: { type: 'findings', subject: id, findings },
        text: findings.length
          ? findings.map(({ photoId, sentence }) => `${photoId ?? 'all'}  ${sentence}`)
          : [photos.some(photo => !photo.removed) ? `nothing is wrong with the photos of ${name}` : `${name} has no photos`],
      };
    },
  }),
] as const;

/** Numbers with commas between.
 * @throws UsageError */
function numbersOf(option: string, typed: string, form: string): number[] {
  const numbers = typed.split(',').map(n => (n.trim() === '' ? NaN : Number(n)));
  if (!numbers.every(Number.isFinite)) throw new UsageError(`${option} is ${form} in pixels of the photo, not '${typed}'`);
  return numbers;
}
function rectangleOf(typed: string): Rectangle {
  const form = 'X,Y,W,H';
  const [x, y, width, height, ...more] = numbersOf('--rectangle', typed, form);
  if (height === undefined || more.length || !(width! > 0 && height > 0))
    throw new UsageError(`--rectangle is ${form} in pixels of the photo, not '${typed}'`);
  return { x: x!, y: y!, width: width!, height };
}
function strokeOf(option: string, typed: string, subject: boolean, radius: number): Stroke {
  const form = 'X,Y,X,Y...';
  const numbers = numbersOf(option, typed, form);
  if (numbers.length % 2) throw new UsageError(`${option} is ${form}, and '${typed}' has an odd number of them`);
  return { subject, radius, points: Array.from({ length: numbers.length / 2 }, (_, i) => [numbers[2 * i]!, numbers[2 * i + 1]!]) };
}

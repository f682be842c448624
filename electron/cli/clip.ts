/** @file `clip` and `request`. */
import { existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { clipId, jobId } from '../contract/ids.ts';
import type { Clip } from '../contract/records.ts';
import type { ClipSearch } from '../contract/api.ts';
import type { Request } from '../contract/requests.ts';
import { UsageError } from './arguments.ts';
import { deletesForGood } from './ask.ts';
import { clipIdOf, pathOf, subjectOf, tagsOf, wholeOf, writeNew } from './names.ts';
import { card, counted, duration, madeWith, size, starsOf, table, when } from './print.ts';
import { onlyGiven, verb, type Answer } from './verb.ts';
import { whereIs } from './wait.ts';

const promptOf = (clip: Clip) => clip.request?.prompt ?? clip.resolved?.prompt ?? '';
function clipCard(clip: Clip, path: string | null): string[] {
  const { resolved: made } = clip;
  return card(`${clip.id}  ${clip.name}${clip.stars ? `  ${starsOf(clip.stars)}` : ''}${clip.trashed ? '  in the trash' : ''}`, [
    ['prompt', promptOf(clip)],
    ['stays away from', made?.negativePrompt],
    ['subjects', clip.subjects.map(s => `${s.name} @${s.handle}`).join(', ')],
    ['tags', clip.tags.join(', ')],
    ['seed', String(clip.seed)],
    ['begins with', made?.startImage?.pictureId],
    ['made with', made && madeWith(made)],
    ['checkpoint', clip.checkpoint.name],
    ['adapters', clip.adapters.map(a => `${a.name} x ${a.scale}`).join(', ')],
    [
      'picture',
      `${clip.width}x${clip.height}, ${counted(clip.numFrames, 'frame')}, ${clip.fps} a second (${duration(clip.numFrames / clip.fps)}), ${size(clip.bytes)}`,
    ],
    ['latents', clip.latentsBytes ? `kept, ${size(clip.latentsBytes)}` : 'not kept'],
    [
      'time',
      `${duration(Object.values(clip.timings).reduce((s, t) => s + t, 0))} on ${clip.device} (${Object.entries(clip.timings)
        .map(([phase, s]) => `${phase} ${duration(s)}`)
        .join(', ')})`,
    ],
    ['made', `${when(clip.createdAt)}${clip.jobId ? ` by ${clip.jobId}` : ''}`],
    ['from', clip.parents.join(' ')],
    ['file', clip.missing ? `missing: protagonist clip find ${clip.id} FILE says where it is now` : path],
  ]);
}
const one = (clip: Clip, text: string): Answer => ({ json: { type: 'clip', clip }, text: [text] });
const several = (clips: readonly Clip[], text: string): Answer => ({ json: { type: 'clips', clips, next: null }, text: [text] });

export const clipVerbs = [
  verb({
    name: 'clip list',
    takes: '',
    help: 'finished clips, newest first',
    options: {
      search: ['text', 'TEXT', 'each word has to occur in prompt, subjects or tags'],
      subject: ['text', 'S', 'of this subject (@kelp or s1)'],
      tag: ['text', 'T', 'with this tag'],
      stars: ['number', 'N', 'with at least so many stars'],
      sort: ['text', 'newest|oldest|stars', 'in this order'],
      trash: ['flag', '', 'those in the trash'],
      limit: ['number', 'N', 'at most so many (60)'],
      after: ['text', 'CURSOR', 'go on where the last list ended'],
    },
    uses: ['clips.list', 'subjects.show'],
    act: async ({ client, options }) => {
      const { search, subject, tag, stars, sort, trash, limit, after } = options;
      const { clips, next } = await client.clips.list(
        onlyGiven({
          search,
          subject: subject === undefined ? undefined : (await subjectOf(client, subject)).id,
          tag,
          stars,
          sort: sort as ClipSearch['sort'] | undefined,
          trashed: trash,
          limit,
          after,
        }),
      );
      const rows = clips.map(c => [
        c.id,
        starsOf(c.stars),
        when(c.createdAt),
        `${c.width}x${c.height}`,
        c.missing ? 'missing' : duration(c.numFrames / c.fps),
        String(c.seed),
        c.subjects.map(s => `@${s.handle}`).join(' '),
        promptOf(c) || c.name,
      ]);
      const filtered = [search, subject, tag, stars].some(x => x !== undefined);
      return {
        json: { type: 'clips', clips, next },
        text: rows.length
          ? [
              ...table(['id', 'stars', 'made', 'size', 'length>', 'seed>', 'subject', 'prompt'], rows),
              ...(next === null ? [] : [`more: --after ${next}`]),
            ]
          : [
              filtered
                ? 'no clip fits'
                : trash
                  ? 'the trash is empty'
                  : 'no clips yet: protagonist generate --subject @handle --prompt TEXT makes one',
            ],
      };
    },
  }),
  verb({
    name: 'clip show',
    takes: 'ID',
    help: 'all about one clip, and where its file lies',
    uses: ['clips.show', 'media.locate', 'host.describe'],
    act: async ({ client, words }) => {
      const clip = await client.clips.show({ id: clipIdOf(words[0]!) });
      const path = await whereIs(client, clip);
      return { json: { type: 'clip', clip, path }, text: clipCard(clip, path) };
    },
  }),
  verb({
    name: 'clip rate',
    takes: 'ID STARS',
    help: '0 to 5 stars',
    uses: ['clips.edit'],
    act: async ({ client, words: [id, stars] }) => {
      const clip = await client.clips.edit({ id: clipIdOf(id!), stars: wholeOf(stars!, 'the number of stars', 0, 5) });
      return one(clip, `${clip.id} has ${clip.stars ? starsOf(clip.stars) : 'no stars'}`);
    },
  }),
  verb({
    name: 'clip tag',
    takes: 'ID',
    help: 'put tags on a clip and take them off',
    options: { add: ['each', 'T', 'again for each, or T,T'], remove: ['each', 'T', 'again for each, or T,T'] },
    uses: ['clips.edit'],
    act: async ({ client, words, options }) => {
      if (!options.add && !options.remove) throw new UsageError('nothing to change: name --add T or --remove T');
      const clip = await client.clips.edit({
        id: clipIdOf(words[0]!),
        ...onlyGiven({ addTags: tagsOf(options.add), removeTags: tagsOf(options.remove) }),
      });
      return one(clip, clip.tags.length ? `${clip.id} is tagged ${clip.tags.join(', ')}` : `${clip.id} has no tags`);
    },
  }),
  verb({
    name: 'clip tags',
    takes: '',
    help: 'every tag in use, and on how many clips',
    uses: ['clips.tags'],
    act: async ({ client }) => {
      const { tags } = await client.clips.tags({});
      return {
        json: { type: 'tags', tags },
        text: tags.length
          ? table(
              ['clips>', 'tag'],
              tags.map(({ tag, clips }) => [clips.toLocaleString('en'), tag]),
            )
          : ['no clip has a tag: protagonist clip tag ID --add T gives it one'],
      };
    },
  }),
  verb({
    name: 'clip frame',
    takes: 'ID',
    help: 'one frame as a PNG, pixel by pixel as the clip shows it',
    options: {
      frame: ['number', 'N', 'which one: 0 is the first (0)'],
      out: ['text', 'FILE', 'the file to make, never over another one (named after the clip, in this folder)'],
    },
    uses: ['clips.frame'],
    act: async ({ client, words: [word], options: { frame = 0, out } }) => {
      const id = clipIdOf(word!);
      const { base64, name, width, height } = await client.clips.frame({ id, frame });
      const path = pathOf(out ?? name);
      writeNew(path, base64);
      return { json: { type: 'frame', id, frame, path, width, height }, text: [`${path} is frame ${frame} of ${id}, ${width}x${height}`] };
    },
  }),
  verb({
    name: 'clip rename',
    takes: 'ID NAME',
    help: 'what people call it',
    uses: ['clips.edit'],
    act: async ({ client, words: [id, name] }) => {
      const clip = await client.clips.edit({ id: clipIdOf(id!), name: name! });
      return one(clip, `${clip.id} is now ${clip.name}`);
    },
  }),
  verb({
    name: 'clip trash',
    takes: 'ID...',
    help: 'hide clips; restore brings them back',
    uses: ['clips.trash'],
    act: async ({ client, words }) => {
      const { clips } = await client.clips.trash({ ids: words.map(clipIdOf) });
      return several(clips, `${counted(clips.length, 'clip')} in the trash: protagonist clip restore ${words.join(' ')} brings them back`);
    },
  }),
  verb({
    name: 'clip restore',
    takes: 'ID...',
    help: 'bring clips back from the trash',
    uses: ['clips.restore'],
    act: async ({ client, words }) => {
      const { clips } = await client.clips.restore({ ids: words.map(clipIdOf) });
      return several(clips, `${counted(clips.length, 'clip')} restored`);
    },
  }),
  verb({
    name: 'clip erase',
    takes: '[ID...]',
    help: 'delete these clips of the trash for good, or all of them',
    options: { yes: ['flag', '', 'do not ask'] },
    uses: ['clips.erase'],
    act: async ({ client, words, options, signal }) => {
      const ids = words.map(clipIdOf),
        what = ids.length ? counted(ids.length, 'clip') : 'everything in the trash';
      if (!(await deletesForGood(what, options, signal)))
        return { json: { type: 'erased', clips: 0, bytes: 0 }, text: ['nothing was deleted'], status: 130 };
      const erased = await client.clips.erase({ ids: ids.length ? ids : null });
      return { json: { type: 'erased', ...erased }, text: [`${counted(erased.clips, 'clip')} deleted, ${size(erased.bytes)} freed`] };
    },
  }),
  verb({
    name: 'clip find',
    takes: 'ID FILE',
    help: 'say where the file of a missing clip is now',
    uses: ['clips.find'],
    act: async ({ client, words: [id, file] }) => {
      const clip = await client.clips.find({ id: clipIdOf(id!), path: pathOf(file!) });
      return one(clip, `${clip.id} is there again`);
    },
  }),
  verb({
    name: 'clip save',
    takes: 'ID FILE',
    help: 'a copy of the file, never over another one; into a folder under its own name',
    uses: ['clips.save', 'clips.show', 'media.locate', 'host.describe'],
    act: async ({ client, words: [word, file] }) => {
      const id = clipIdOf(word!);
      let path = pathOf(file!);
      if (existsSync(path) && statSync(path).isDirectory()) {
        const clip = await client.clips.show({ id }),
          own = await whereIs(client, clip);
        path = join(path, own === null ? `${id}.mp4` : basename(own));
      }
      const { bytes } = await client.clips.save({ id, path });
      return { json: { type: 'saved', id, path, bytes }, text: [`${id} is saved as ${path}, ${size(bytes)}`] };
    },
  }),
  verb({
    name: 'request',
    takes: 'FILE',
    help: 'what made a clip: a video file, or the id of a clip or job',
    more: '--json prints the request itself, with what this library lacks of it; generate --like FILE uses it again.',
    uses: ['requests.read', 'requests.of'],
    act: async ({ client, words: [word] }) => {
      const known = clipId.or(jobId).safeParse(word);
      if (known.success && !existsSync(word!)) {
        const { request, resolved } = await client.requests.of({ id: known.data });
        return { json: { type: 'request', request, made: resolved, missing: [] }, text: requestCard(word!, request) };
      }
      const { request, made, missing } = await client.requests.read({ path: pathOf(word!) });
      const gaps = missing.map(thing => `this library does not have ${thing}`);
      return {
        json: { type: 'request', request, made, missing },
        text: request ? [...requestCard(basename(word!), request), ...gaps] : [`${basename(word!)} does not say what made it`, ...gaps],
        status: request ? 0 : 1,
      };
    },
  }),
] as const;

/** A request with what was left open left out. */
function requestCard(title: string, r: Request): string[] {
  const number = (n: number | null) => (n === null ? '' : String(n));
  return card(title, [
    ['prompt', r.prompt],
    ['stays away from', r.negativePrompt],
    ['subjects', r.subjects.join(' ')],
    ['photos', r.photos?.join(' ')],
    ['begins with', r.startImage],
    ['cut out', r.cutOut ? 'yes' : ''],
    ['checkpoint', r.checkpoint],
    ['adapters', r.adapters?.map(a => `${a.id}${a.scale === null ? '' : ` x ${a.scale}`}`).join(', ')],
    ['seed', number(r.seed)],
    ['steps', number(r.numInferenceSteps)],
    ['guidance', `${number(r.guidanceScale)}${r.useDynamicCfg ? ' dynamic' : ''}`],
    ['scheduler', r.scheduler],
    ['frames', number(r.numFrames)],
    ['size', r.width !== null && r.height !== null ? `${r.width}x${r.height}` : `${number(r.width)}${number(r.height)}`],
    ['frames a second', number(r.fps)],
    ['precision', r.precision === 'auto' ? '' : r.precision],
    ['device', r.device],
  ]);
}

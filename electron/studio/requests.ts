/** @file What made a clip, read from a file or from the library, as a request that can be used again. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import type { PhotoId } from '../contract/ids.ts';
import { crop, type Clip, type Crop, type Job, type Subject } from '../contract/records.ts';
import { request, type Request } from '../contract/requests.ts';
import type { HostOf } from '../contract/rpc.ts';
import { readRequest } from '../media/metadata.ts';
import { given } from '../../native-models/tasks.ts';
import type { Catalogue } from './checkpoints.ts';
import type { PicturesPart } from './pictures.ts';
import { DatabaseError } from './database.ts';
import { replaceHandles } from './resolve.ts';
import { absolute } from './rows.ts';

const named = z.object({ name: z.string().catch('one without a name'), sha256: z.string() });
/** What the studio adds to the request inside a clip: what was typed, and the photos as they are known here. */
export const note = z.object({
  prompt: z.string(),
  subjects: z.array(z.object({ name: z.string(), handle: z.string() })),
  /** `handle`: of the subject that it shows; null for one that is of nobody any more. `mask`: by which it was cut out. Clips of earlier versions say none of these. */
  photos: z.array(
    z.object({
      sha256: z.string(),
      name: z.string(),
      handle: z.string().nullable().default(null),
      crop: crop.nullable().optional(),
      mask: z.string().nullable().default(null),
    }),
  ),
  cutOut: z.boolean(),
  /** As it is known there. */
  startImage: z.object({ sha256: z.string(), name: z.string() }).nullable().default(null),
});
export type Note = z.infer<typeof note>;
/** The settings in a clip that a request has under the same name. */
const settings = request.pick({
  prompt: true,
  negativePrompt: true,
  seed: true,
  numInferenceSteps: true,
  guidanceScale: true,
  useDynamicCfg: true,
  scheduler: true,
  numFrames: true,
  width: true,
  height: true,
  fps: true,
  fit: true,
  noiseDtype: true,
  vaeTiling: true,
}).shape;

/** A photo of the library's. */
interface Own {
  readonly id: PhotoId;
  readonly subject: Subject;
}
/** Where the things are looked up that a file names by their content. */
export interface Sources {
  readonly catalogue: Pick<Catalogue, 'checkpoints' | 'adapters'>;
  subjectByHandle(handle: string): Subject | undefined;
  /** A photo of this content, of a subject that is there. */
  photoByContent(sha256: string): Own | undefined;
  pictures: Pick<PicturesPart, 'byContent'>;
  clip(id: Clip['id']): Clip;
  job(id: Job['id']): Job;
}

export function requestsPart(sources: Sources): HostOf<typeof api>['requests'] {
  return {
    read: async ({ path }) => {
      const file = absolute(path);
      if (!existsSync(file)) throw new StudioError('missing', `there is no file ${basename(path)}: check the path`);
      const made = await given(() => readRequest(file));
      if (!made) return { request: null, made: null, missing: [] };
      const missing: string[] = [];
      const asked: Partial<Request> = {};
      for (const [name, schema] of Object.entries(settings)) {
        if (!(name in made)) continue;
        const value = schema.safeParse(made[name]);
        if (value.success) Object.assign(asked, { [name]: value.data });
        else missing.push(`the setting ${name}: ${z.prettifyError(value.error)}`);
      }

      const understood = <T>(name: string, schema: z.ZodType<T>): T | undefined => {
        const value = schema.safeParse(made[name]);
        if (!value.success && name in made) missing.push(`the setting ${name}: ${z.prettifyError(value.error)}`);
        return value.data;
      };
      const checkpoint = understood('checkpoint', named);
      if (checkpoint) {
        const own = (await known(sources)).find(c => c.sha256 === checkpoint.sha256);
        if (own && !own.missing) asked.checkpoint = own.id;
        else missing.push(own ? `the checkpoint ${own.name} (${own.id}), whose files are gone` : `the checkpoint ${checkpoint.name}`);
      }
      const adapters = understood('adapters', z.array(named.extend({ scale: z.number().catch(1) })));
      if (adapters) {
        const { adapters: all } = await sources.catalogue.adapters.list(undefined, never);
        asked.adapters = adapters.flatMap(a => {
          const own = all.find(x => x.sha256 === a.sha256);
          if (own && !own.missing) return [{ id: own.id, scale: a.scale }];
          missing.push(own ? `the adapter ${own.name} (${own.id}), whose files are gone` : `the adapter ${a.name}`);
          return [];
        });
      }

      /** A photo of the library's by its content, used only where its file is there.
       * @param was how the clip names it, and what it had then */
      const use = (own: Own | undefined, was: { name: string; crop?: Crop | null | undefined; mask?: string | null }): Own[] => {
        const photo = own?.subject.photos.find(p => p.id === own.id);
        if (!own || !photo) {
          missing.push(`the photo ${was.name}`);
          return [];
        }
        if (photo.missing) missing.push(`the photo ${was.name} (${own.id}), whose file is gone`);
        else {
          asked.photos = [...(asked.photos ?? []), own.id];
          if (was.crop !== undefined && !isDeepStrictEqual(was.crop, photo.crop))
            missing.push(`the crop that the photo ${was.name} (${own.id}) had`);
          if (was.mask && was.mask !== photo.mask) missing.push(`the mask that the photo ${was.name} (${own.id}) had`);
        }
        return [own];
      };
      const studio = understood('studio', note);
      if (studio) {
        const { subjects: named, cutOut } = studio;
        asked.cutOut = cutOut;
        const here = named.flatMap(s => sources.subjectByHandle(s.handle) ?? []);
        const photos = studio.photos.flatMap(p => {
          // the same photo may belong to several subjects: then it is meant of the one that was named
          const [meant] = here.flatMap(subject =>
            subject.photos.filter(x => x.sha256 === p.sha256 && !x.removed).map(({ id }) => ({ id, subject })),
          );
          const handle = p.handle ?? (named.length === 1 ? named[0]!.handle : undefined);
          return use(meant ?? sources.photoByContent(p.sha256), p).map(({ subject }) => ({ subject, handle }));
        });
        /** By the handles that the clip knows them by: they may have others here. */
        const subjects = new Map<string, Subject>();
        for (const { name, handle } of named) {
          const own =
            photos.find(p => p.subject.handle === handle)?.subject ??
            photos.find(p => p.handle === handle)?.subject ??
            sources.subjectByHandle(handle);
          if (own) subjects.set(handle, own);
          else missing.push(`the subject ${name} (@${handle})`);
        }
        asked.subjects = [...new Set([...subjects.values(), ...photos.map(p => p.subject)].map(subject => subject.id))];
        asked.prompt = renamed(studio.prompt, new Map(named.map(({ handle }) => [handle, subjects.get(handle)?.handle ?? handle])));
      } else {
        // made without a library: its photos are known by their files' content
        const photos = (understood('referenceImages', z.array(named)) ?? []).flatMap(p => use(sources.photoByContent(p.sha256), p));
        asked.subjects = [...new Set(photos.map(p => p.subject.id))];
      }
      const start = studio ? studio.startImage : understood('startImage', named);
      if (start) {
        const own = await sources.pictures.byContent(start.sha256);
        if (own && !own.missing) asked.startImage = own.id;
        else missing.push(own ? `the start image ${own.name} (${own.id}), whose file is gone` : `the start image ${start.name}`);
      }
      const whole = request.safeParse({ prompt: '', ...asked });
      if (!whole.success)
        throw new StudioError('badFile', `the request in ${basename(path)} is not understood: ${z.prettifyError(whole.error)}`);
      return { request: whole.data, made, missing };
    },
    of: ({ id }) => {
      if (id.startsWith('j')) {
        const { request, resolved } = sources.job(id as Job['id']);
        return { request, resolved };
      }
      const clip = sources.clip(id as Clip['id']);
      if (!clip.request)
        throw new StudioError(
          'notFound',
          `${id} was not made by a request: use one of the clips it was made of (${clip.parents.join(', ') || 'none is known'})`,
        );
      return { request: clip.request, resolved: clip.resolved };
    },
  };
}
const never = new AbortController().signal;

/** The checkpoints of the library: none where the only one, the program's own, cannot be read. */
async function known({ catalogue }: Sources) {
  try {
    return (await catalogue.checkpoints.list(undefined, never)).checkpoints;
  } catch (e) {
    if (e instanceof DatabaseError) throw e;
    return [];
  }
}

/** A prompt whose handles have become others.
 * @param handles what each that it names is called here */
function renamed(prompt: string, handles: ReadonlyMap<string, string>): string {
  if ([...handles].every(([before, now]) => before === now)) return prompt;
  try {
    return replaceHandles(
      prompt,
      before => (handles.has(before) ? { words: `@${handles.get(before)!}` } : undefined),
      () => [],
    ).text;
  } catch {
    return prompt; // one that it does not name besides: whoever queues it is told
  }
}

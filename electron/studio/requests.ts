/** @file What made a clip, read from a file or from the library, as a request that can be used again. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { z } from 'zod';
import type { api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import type { PhotoId } from '../contract/ids.ts';
import type { Clip, Job, Subject } from '../contract/records.ts';
import { request, type Request } from '../contract/requests.ts';
import type { HostOf } from '../contract/rpc.ts';
import { readRequest } from '../media/metadata.ts';
import { given } from '../../native-models/tasks.ts';
import type { Catalogue } from './checkpoints.ts';
import { absolute } from './rows.ts';

const named = z.object({ name: z.string().catch('one without a name'), sha256: z.string() });
/** What the studio adds to the request inside a clip: what was typed, and the photos as they are known here. */
export const note = z.object({
  prompt: z.string(),
  subjects: z.array(z.object({ name: z.string(), handle: z.string() })),
  photos: z.array(z.object({ sha256: z.string(), name: z.string() })),
  cutOut: z.boolean(),
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

/** Where the things are looked up that a file names by their content. */
export interface Sources {
  readonly catalogue: Pick<Catalogue, 'checkpoints' | 'adapters'>;
  subjectByHandle(handle: string): Subject | undefined;
  /** A photo of this content, of a subject that is there. */
  photoByContent(sha256: string): { readonly id: PhotoId; readonly subject: Subject } | undefined;
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

      const checkpoint = named.safeParse(made['checkpoint']);
      if (checkpoint.success) {
        const { checkpoints } = await sources.catalogue.checkpoints.list(undefined, never);
        const own = checkpoints.find(c => c.sha256 === checkpoint.data.sha256);
        if (own) asked.checkpoint = own.id;
        else missing.push(`the checkpoint ${checkpoint.data.name}`);
      }
      const adapters = z.array(named.extend({ scale: z.number().catch(1) })).safeParse(made['adapters']);
      if (adapters.success) {
        const { adapters: all } = await sources.catalogue.adapters.list(undefined, never);
        asked.adapters = adapters.data.flatMap(a => {
          const own = all.find(x => x.sha256 === a.sha256);
          if (!own) missing.push(`the adapter ${a.name}`);
          return own ? [{ id: own.id, scale: a.scale }] : [];
        });
      }

      const studio = note.safeParse(made['studio']);
      if (studio.success) {
        asked.prompt = studio.data.prompt;
        asked.cutOut = studio.data.cutOut;
        const known = studio.data.subjects.flatMap(s => sources.subjectByHandle(s.handle) ?? []);
        const photos = studio.data.photos.flatMap(p => {
          // the same photo may belong to several subjects: then it is meant of the one that was named
          const [meant] = known.flatMap(subject =>
            subject.photos.filter(x => x.sha256 === p.sha256 && !x.removed).map(({ id }) => ({ id, subject })),
          );
          const own = meant ?? sources.photoByContent(p.sha256);
          if (!own) missing.push(`the photo ${p.name}`);
          return own ? [own] : [];
        });
        if (photos.length) asked.photos = photos.map(p => p.id);
        const subjects = studio.data.subjects.flatMap(s => {
          const own = photos.find(p => p.subject.handle === s.handle)?.subject ?? sources.subjectByHandle(s.handle);
          if (!own) missing.push(`the subject ${s.name} (@${s.handle})`);
          return own ? [own.id] : [];
        });
        asked.subjects = [...new Set([...subjects, ...photos.map(p => p.subject.id)])];
      } else {
        // made without a library: its photos are known by their files' content
        const photos = z.array(named).safeParse(made['referenceImages']);
        for (const photo of photos.data ?? []) {
          const own = sources.photoByContent(photo.sha256);
          if (own) {
            asked.photos = [...(asked.photos ?? []), own.id];
            asked.subjects = [...new Set([...(asked.subjects ?? []), own.subject.id])];
          } else missing.push(`the photo ${photo.name}`);
        }
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

/** @file The checkpoints that Protagonist knows by name: what each is for, under which licence, what it needs, and where its files lie. The facts are in `assets/checkpoints.json`. */
import { z } from 'zod';

/** A path inside a checkpoint: plain names joined by `/`, such that no system takes it for a place outside. */
export const insidePath = z
  .string()
  .max(200)
  .refine(
    path =>
      path
        .split('/')
        .every(
          name => /^[^\\:*?"<>|\p{C}]+$/u.test(name) && !/[. ]$|^ /.test(name) && !/^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i.test(name),
        ),
    'not a path of plain names joined by /',
  );
/** `zai-org/CogVideoX-5b`. */
export const repositoryName = z.string().regex(/^(?!.*(?:\.\.|--))[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}\/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$/);
/** A full commit, or the name of a branch or tag. */
export const revisionName = z.string().regex(/^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}$/);
/** A commit's whole id: it names one state of a repository for good. */
export const commitId = z.string().regex(/^[0-9a-f]{40}$/);

/** A file that a checkpoint needs. */
export const catalogueFile = z.strictObject({
  path: insidePath,
  /** Its size; `about` where only a rounded one is known. Both are for showing: what is downloaded has the size that the hub states. */
  bytes: z.int().positive().optional(),
  about: z.int().positive().optional(),
  /** What its content has to be. Without one the hub's own word at the pinned commit stands. */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  /** Taken along where the repository has it. */
  optional: z.literal(true).optional(),
});
export type CatalogueFile = z.infer<typeof catalogueFile>;

/** Where a checkpoint lies on the hub. */
export const hubPlace = z.strictObject({
  repository: repositoryName,
  revision: revisionName,
  files: z
    .array(catalogueFile)
    .min(1)
    .max(200)
    .refine(files => new Set(files.map(f => f.path.toLowerCase())).size === files.length, 'a path is named twice'),
});
export type HubPlace = z.infer<typeof hubPlace>;

export const licence = z.strictObject({
  name: z.string().min(1),
  /** Where its text can be read. */
  link: z.url({ protocol: /^https$/ }),
  /** One or two sentences; they do not stand in for the text. */
  summary: z.string(),
});

/** What names a known checkpoint: `cogvideox-5b`. */
export const catalogueId = z
  .string()
  .max(100)
  .regex(/^[a-z0-9][a-z0-9-]*$/, 'is no name of a known checkpoint: one is written like cogvideox-5b');
/** What it needs at its peak, for the clip it is made for. */
export const memoryNeed = z.strictObject({ bytes: z.int().positive(), note: z.string() });
/** A host that may be contacted, and why. */
export const contact = z.object({ host: z.string(), why: z.string() });

const known = {
  id: catalogueId,
  name: z.string().min(1),
  /** What a person would take it for. */
  for: z.string().min(1),
  licence,
  memory: memoryNeed,
};
/** One known checkpoint: a folder that comes with the program (`embedded`: its name in assets), or a place on the hub. */
export const catalogueEntry = z.union([
  z.strictObject({ ...known, embedded: z.string().regex(/^[a-z0-9-]+$/) }),
  z.strictObject({ ...known, hub: hubPlace }),
]);
export type CatalogueEntry = z.infer<typeof catalogueEntry>;

const catalogue = z.strictObject({ format: z.literal(1), checkpoints: z.array(catalogueEntry) });

/** Reads `assets/checkpoints.json`. @throws SyntaxError, z.ZodError: the file comes with the program, so either is a bug */
export const parseCatalogue = (text: string): readonly CatalogueEntry[] => catalogue.parse(JSON.parse(text)).checkpoints;

/** Bytes that the needed files have together, as far as the catalogue knows; `exact` where it knows each. */
export function catalogueSize(files: readonly CatalogueFile[]): { readonly bytes: number; readonly exact: boolean } {
  const needed = files.filter(f => !f.optional);
  return { bytes: needed.reduce((n, f) => n + (f.bytes ?? f.about ?? 0), 0), exact: needed.every(f => f.bytes !== undefined) };
}

/** @file The checkpoints that the program knows: the one that comes with it and its toys, and the facts of those that can be downloaded. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { parseCatalogue, type CatalogueEntry } from '../contract/catalogue.ts';
import { handle, subjectName } from '../contract/records.ts';
import type { Sample } from '../studio/subjects.ts';

export const toybox = fileURLToPath(new URL('../../assets/toybox', import.meta.url));
/** The toys that come with it, each with its photo. */
export const samples = (): readonly Sample[] =>
  sampleList
    .parse(JSON.parse(readFileSync(new URL('../../assets/toybox/photos/samples.json', import.meta.url), 'utf8')))
    .map(sample => ({ ...sample, kind: 'toy', photo: join(toybox, 'photos', `${sample.handle}.jpg`) }));
const sampleList = z.array(z.strictObject({ handle, name: subjectName, description: z.string() }));
export const known = (): readonly CatalogueEntry[] =>
  parseCatalogue(readFileSync(new URL('../../assets/checkpoints.json', import.meta.url), 'utf8'));

/** @file The checkpoints that the program knows: the one that comes with it and its toys, and the facts of those that can be downloaded. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { parseCatalogue, type CatalogueEntry } from '../contract/catalogue.ts';
import { handle, subjectName } from '../contract/records.ts';
import { program } from '../media/program.ts';
import type { Sample } from '../studio/subjects.ts';

export const toybox = join(program.assets, 'toybox');
/** The toys that come with it, each with its photo. */
export const samples = (): readonly Sample[] =>
  sampleList
    .parse(JSON.parse(readFileSync(join(toybox, 'photos/samples.json'), 'utf8')))
    .map(sample => ({ ...sample, kind: 'toy', photo: join(toybox, 'photos', `${sample.handle}.jpg`) }));
const sampleList = z.array(z.strictObject({ handle, name: subjectName, description: z.string() }));
export const known = (): readonly CatalogueEntry[] => parseCatalogue(readFileSync(join(program.assets, 'checkpoints.json'), 'utf8'));

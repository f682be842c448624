/** @file The checkpoints that the program knows: the one that comes with it, and the facts of those that can be downloaded. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseCatalogue, type CatalogueEntry } from '../contract/catalogue.ts';

export const toybox = fileURLToPath(new URL('../../assets/toybox', import.meta.url));
export const known = (): readonly CatalogueEntry[] =>
  parseCatalogue(readFileSync(new URL('../../assets/checkpoints.json', import.meta.url), 'utf8'));

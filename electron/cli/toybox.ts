/** @file The checkpoint that comes with the program. */
import { fileURLToPath } from 'node:url';

export const toybox = fileURLToPath(new URL('../../assets/toybox', import.meta.url));

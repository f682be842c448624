/** @file The table of verbs: everything the command line can do. */
import { clipVerbs } from './clip.ts';
import { cutoutVerbs } from './cutout.ts';
import { downloadVerbs, networkVerbs } from './download.ts';
import { exportVerbs } from './export.ts';
import { forecast, generate } from './generate.ts';
import { jobVerbs, queueVerbs } from './job.ts';
import { backupVerbs, settingsVerbs, storageVerbs } from './keeping.ts';
import { doctor, inspect } from './machine.ts';
import { pictureVerbs } from './picture.ts';
import { promptVerbs } from './prompt.ts';
import { serve } from './serve.ts';
import { subjectVerbs } from './subject.ts';
import { adapterVerbs, checkpointVerbs } from './weights.ts';
import type { MethodName, Verb } from './verb.ts';

export const verbs: readonly Verb[] = [
  generate,
  forecast,
  ...subjectVerbs,
  ...cutoutVerbs,
  ...clipVerbs,
  ...pictureVerbs,
  ...promptVerbs,
  ...exportVerbs,
  ...jobVerbs,
  ...queueVerbs,
  ...checkpointVerbs,
  ...downloadVerbs,
  ...adapterVerbs,
  ...settingsVerbs,
  ...storageVerbs,
  ...backupVerbs,
  ...networkVerbs,
  serve,
  doctor,
  inspect,
];

/** What a noun alone means. */
export const alone: Readonly<Partial<Record<string, string>>> = {
  settings: 'settings show',
  storage: 'storage show',
  queue: 'queue show',
};

/** The API's methods that no verb calls, and why. */
export const unused: Readonly<Partial<Record<MethodName, string>>> = {
  'host.machine': 'it is what doctor says, which needs no library',
  'clips.index': 'for a window that shows any part of a long list: clip list has pages',
  'clips.some': 'for a window that shows any part of a long list: clip list and clip show are the command line’s',
  'media.read': 'pieces of files are for clients that cannot read them where they lie: clip show and clip save are the command line’s',
};

/** @file Joins the studio and the engine: a library as the commands use it, whoever owns it. */
import { resolve } from 'node:path';
import { updatesSwitch } from '../contract/updates.ts';
import type { Opened } from '../contract/wire.ts';
import { program, programVersion } from '../media/program.ts';
import type { Secrets } from '../studio/secrets.ts';
import { UsageError } from './arguments.ts';
import { clipEngine } from './engine.ts';
import { tell } from './print.ts';
import { lookAtMachine } from './machine.ts';
import { known, samples, toybox } from './toybox.ts';

/** A way to the library: as a client of the process that owns it, or as its owner until `close`. When the owner ends, this process talks to the next one, or becomes it.
 * @param home its folder; undefined: PROTAGONIST_HOME, else this user's data folder
 * @param secrets keeps the hub's access token where this process owns the library; a file of this user's if not given
 * @throws StudioError where it cannot be opened */
export async function openLibrary(home: string | undefined, secrets?: Secrets): Promise<Opened> {
  if (home === '') throw new UsageError("--home is empty: name the library's folder");
  const { libraryHome } = await import('../studio/places.ts');
  const { openStudio } = await import('../studio/owner.ts');
  const folder = home === undefined ? libraryHome() : resolve(home);
  const become = async () => {
    const { startStudio } = await import('../studio/studio.ts');
    const { ownSecrets } = await import('../studio/secrets.ts');
    const { updateContacts } = await import('../studio/network.ts');
    return startStudio({
      home: folder,
      version: programVersion,
      engine: clipEngine(),
      verifier: clipEngine(1),
      embedded: [{ name: 'Toybox', path: toybox }],
      known: known(),
      samples: samples(),
      machine: lookAtMachine,
      secrets: secrets ?? ownSecrets(folder),
      hub: { endpoint: process.env['HF_ENDPOINT'], token: process.env['HF_TOKEN'] },
      others: updateContacts(updatesSwitch.parse(program.updates).feed),
      can: { paths: true, dragOut: false, reveal: false, pickFolder: false },
    });
  };
  return openStudio(folder, become, { version: programVersion, warn: tell });
}

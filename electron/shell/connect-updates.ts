/** @file Joins the updates to Electron. Loaded only where the switch is on. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserWindow } from 'electron';
import { program } from '../media/program.ts';
import type { ElectronUsed } from './start.ts';
import { followUpdates, packageKind, type Updates, type UpdatesOptions } from './updates.ts';

/** @param options.window the window that is there now: dialogs belong to it */
export function connectUpdates(
  { app, dialog, Notification }: Pick<ElectronUsed, 'app' | 'dialog' | 'Notification'>,
  {
    window,
    ...options
  }: Pick<UpdatesOptions, 'on' | 'transport' | 'version' | 'language' | 'changed'> & {
    readonly window: () => BrowserWindow | undefined;
  },
): Updates {
  const userData = app.getPath('userData'),
    packaged = app.isPackaged;
  return followUpdates({
    ...options,
    userData,
    kind: packageKind({ platform: process.platform, packaged, resources: program.resources, env: process.env }),
    ask: said => {
      const at = window();
      return at ? dialog.showMessageBox(at, said) : dialog.showMessageBox(said);
    },
    notify: said => new Notification(said).show(),
    installer: async kind => {
      const { openUpdater } = await import('./updater.ts'),
        folder = join(userData, 'updates');
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      return openUpdater({ kind, version: options.version, folder, packaged });
    },
  });
}

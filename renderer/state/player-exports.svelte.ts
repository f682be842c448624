/** @file Exports that go on while somebody looks at something else. */
import type { App } from './app.svelte.ts';
import type { Exported } from '../../electron/contract/records.ts';
import type { ExportId } from '../../electron/contract/ids.ts';

export const hasEnded = ({ status }: Pick<Exported, 'status'>): boolean =>
  status === 'completed' || status === 'failed' || status === 'canceled';

/** Calls `ended` once an export is done, has failed or was canceled, wherever the window is by then. */
export function follow(app: App, id: ExportId, ended: (exported: Exported) => void): void {
  const stop = app.on('export', ({ export: said }) => {
    if (said.id === id && hasEnded(said)) end(said);
  });
  const end = (said: Exported) => {
    stop();
    ended(said);
  };
  const now = app.exports.get(id);
  if (now && hasEnded(now)) end(now);
}

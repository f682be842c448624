/** @file A setting that is changed: at once, and it can be taken back. */
import type { Settings } from '../../../electron/contract/records.ts';
import type { App } from '../../state/app.svelte.ts';

/** @param label what is said, and what undoing it is called */
export async function change(app: App, label: string, changes: Partial<Omit<Settings, 'version'>>): Promise<void> {
  const { now } = app.settings;
  const before = Object.fromEntries(Object.keys(changes).map(name => [name, now[name as keyof Settings]])) as typeof changes;
  if (JSON.stringify(before) === JSON.stringify(changes)) return;
  await app.act(
    label,
    () => app.settings.edit(changes),
    () => app.settings.edit(before),
  );
}

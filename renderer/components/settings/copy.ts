/** @file Text for somewhere else: an address that the person opens themselves. */
import type { App } from '../../state/app.svelte.ts';
import { t } from '../../words/index.svelte.ts';

/** Puts it into the clipboard and says so.
 * @param done what is said then */
export async function copy(app: App, text: string, done: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    app.toast({ text: done });
  } catch {
    app.toast({ kind: 'failed', text: t('settings.notCopied') }); // an old browser, or a page that may not
  }
}

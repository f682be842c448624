/** @file States of the window that a healthy host does not show by itself: answers that do not come, and answers that refuse. The host is the real one; only what comes back over the wire is held or replaced. */
import type { Page } from 'playwright-core';

export interface Held {
  /** Methods whose answers do not come, and those that are refused with this sentence. */
  readonly hold?: RegExp;
  readonly refuse?: RegExp;
}
export const sentence = 'the library cannot be read just now: the disk does not answer. Try again in a moment';

/** Put before the page is opened: `page` must not have a socket yet. */
export async function intervene(page: Page, { hold, refuse }: Held): Promise<void> {
  await page.routeWebSocket(/\/socket$/, route => {
    const server = route.connectToServer();
    const refused = new Set<number>(),
      held = new Set<number>();
    route.onMessage(said => {
      const message = JSON.parse(String(said)) as { type: string; id?: number; method?: string };
      if (message.type === 'call' && message.id !== undefined && message.method !== undefined) {
        if (refuse?.test(message.method)) refused.add(message.id);
        if (hold?.test(message.method)) held.add(message.id);
      }
      server.send(said);
    });
    server.onMessage(said => {
      const message = JSON.parse(String(said)) as { type: string; id?: number };
      if (message.type === 'reply' && message.id !== undefined) {
        if (held.has(message.id)) return;
        if (refused.has(message.id))
          return route.send(
            JSON.stringify({ type: 'reply', id: message.id, reply: { error: { code: 'disk', text: sentence, action: 'retry' } } }),
          );
      }
      route.send(said);
    });
  });
}

/** @file States of the window that a healthy host does not show by itself: answers that do not come, that come late, and that refuse. The host is the real one; only what comes back over the wire is held or replaced. */
import type { Page } from 'playwright-core';
import { becomes } from '../../support/time.ts';
import type { Opened } from './window.ts';

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

/** What a host says to a page, some of which comes late. */
export interface Line {
  /** From now on answers to these methods, and events of these types, wait. */
  hold(which: RegExp): void;
  /** Waits until so many wait: the host has done what they are about. */
  held(n: number): Promise<void>;
  /** Lets the first `n` of them through; all of them, and what comes from now on, if not given. */
  release(n?: number): void;
}
/** A new page of the window, and what its host says to it. */
export async function onLine(opened: Opened, hash: string): Promise<{ page: Page; line: Line }> {
  let line: Line | undefined;
  const page = await opened.page(hash, {}, async of => (line = await lineOf(of)));
  return { page, line: line! };
}
async function lineOf(page: Page): Promise<Line> {
  let which: RegExp | undefined;
  const held: (() => void)[] = [];
  await page.routeWebSocket(/\/socket$/, route => {
    const server = route.connectToServer();
    const methods = new Map<number, string>();
    route.onMessage(said => {
      const message = JSON.parse(String(said)) as { type: string; id?: number; method?: string };
      if (message.type === 'call') methods.set(message.id!, message.method!);
      server.send(said);
    });
    server.onMessage(said => {
      const message = JSON.parse(String(said)) as { type: string; id?: number; event?: { type: string } };
      const what = message.type === 'reply' ? methods.get(message.id!) : message.event?.type;
      if (what !== undefined && which?.test(what)) held.push(() => route.send(said));
      else route.send(said);
    });
  });
  return {
    hold: these => (which = these),
    held: n => becomes(() => held.length >= n, true, `${n} wait`),
    release: n => {
      if (n === undefined) which = undefined;
      for (const send of held.splice(0, n ?? held.length)) send();
    },
  };
}

/** @file Pages as on a machine that does other work: where tests, and the window itself, take for granted what only usually comes in time. */
import type { BrowserContext, CDPSession } from 'playwright-core';
import { sleep } from '../../support/run.ts';

/** How many times slower pages are than this machine lets them be: PROTAGONIST_SLOW, 1 if not set. */
const slowness = Number(process.env['PROTAGONIST_SLOW'] ?? 1);

/** Gives each page of a context its part of the processor, and lets each message between a page and its host come up to 50 ms times `slowness` late, in order. */
export async function slowDown(context: BrowserContext): Promise<void> {
  if (slowness <= 1) return;
  context.on('page', page => {
    const slowed = (session: CDPSession) => session.send('Emulation.setCPUThrottlingRate', { rate: slowness });
    context.newCDPSession(page).then(slowed).catch(() => undefined); // it may be closed already
  });
  await context.routeWebSocket(/\/socket$/, page => {
    const host = page.connectToServer();
    for (const [from, to] of [[page, host], [host, page]] as const) {
      let before = Promise.resolve();
      from.onMessage(message => {
        const late = sleep(Math.random() * 50 * slowness);
        before = before.then(() => late).then(() => to.send(message));
      });
    }
  });
} // prettier-ignore

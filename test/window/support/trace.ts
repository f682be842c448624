/** @file What Chromium's compositor says that it did. */
import type { CDPSession } from 'playwright-core';

export interface TraceEvent {
  readonly name: string;
  /** `X`: it has a beginning and a length. */
  readonly ph: string;
  /** Microseconds. */
  readonly ts: number;
  readonly args?: { readonly frame_reporter?: { readonly has_missing_content?: boolean; readonly state?: string } };
}

/** Traces the whole browser, its compositor included, while `work` goes on.
 * @param session the browser's */
export async function traced(session: CDPSession, work: () => Promise<unknown>): Promise<TraceEvent[]> {
  await session.send('Tracing.start', { transferMode: 'ReturnAsStream', traceConfig: { includedCategories: ['viz', 'benchmark', 'cc'] } });
  await work();
  const complete = new Promise<string>(done => session.once('Tracing.tracingComplete', ({ stream }) => done(stream!)));
  await session.send('Tracing.end');
  const handle = await complete;
  for (let text = ''; ;) {
    const { data, eof } = await session.send('IO.read', { handle, size: 2 ** 22 });
    text += data;
    if (eof) return (JSON.parse(text) as { traceEvents: TraceEvent[] }).traceEvents;
  }
}
/** When each frame was drawn, in milliseconds, in order. */
export const framesOf = (events: readonly TraceEvent[]): number[] =>
  events.filter(e => e.name === 'DirectRenderer::DrawFrame' && e.ph === 'X').map(e => e.ts / 1000).sort((a, b) => a - b); // prettier-ignore

/** Turns the wheel, as the browser sees it.
 * @param session the page's
 * @param pixels down; up where it is negative
 * @param speed pixels a second */
export const wheel = (session: CDPSession, pixels: number, speed: number): Promise<unknown> =>
  session.send('Input.synthesizeScrollGesture', {
    x: 800,
    y: 500,
    yDistance: -pixels,
    speed,
    gestureSourceType: 'mouse',
    preventFling: true,
  });

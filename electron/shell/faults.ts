/** @file What is done when a part of the app dies that Electron brings: the page's process, or the one that draws. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { RenderProcessGoneDetails } from 'electron';
import { z } from 'zod';

type Reason = RenderProcessGoneDetails['reason'];

export interface MendingOptions {
  readonly reload: () => void;
  /** Ends the page's process, which does not answer. */
  readonly crash: () => void;
  readonly quit: () => void;
  /** Whether the app's own end has begun: then nothing is mended. */
  readonly leaving: () => boolean;
  /** Asks the person whether to load it anew or to quit: it has died again and again. */
  readonly askDied: () => Promise<'again' | 'quit'>;
  /** Asks the person whether to wait or to load it anew; the question goes when the page answers. */
  readonly askHangs: (answers: AbortSignal) => Promise<'again' | 'wait'>;
  /** Milliseconds of a clock that only goes forwards. */
  readonly clock?: () => number;
}
export interface Mending {
  died(reason: Reason): void;
  hangs(): void;
  answers(): void;
}

/** Milliseconds within which a second death is no accident any more. */
const soon = 10 * 60_000;

/** Brings a page back whose process has died: the first time unasked, since nothing is lost with it; after that only as long as a person wants it. */
export function mending(options: MendingOptions): Mending {
  const { reload, crash, quit, leaving, askDied, askHangs, clock = () => performance.now() } = options;
  let last = -Infinity,
    asking = false,
    wanted = false, // its death: it did not answer
    hanging: AbortController | undefined;
  const answers = () => {
    hanging?.abort();
    hanging = undefined;
  };
  return {
    died: reason => {
      answers();
      if (reason === 'clean-exit' || leaving() || asking) return;
      const again = clock() - last < soon;
      last = clock();
      if (wanted || (!again && reason !== 'launch-failed' && reason !== 'integrity-failure')) {
        wanted = false;
        return reload();
      }
      asking = true;
      void askDied()
        .catch(() => 'quit' as const) // nobody can be asked: it does not go on for ever
        .then(answer => {
          asking = false;
          if (answer === 'again') reload();
          else quit();
        });
    },
    hangs: () => {
      if (hanging || asking || leaving()) return;
      const mine = (hanging = new AbortController());
      void askHangs(mine.signal)
        .catch(() => 'wait' as const)
        .then(answer => {
          if (mine.signal.aborted) return;
          hanging = undefined;
          if (answer === 'wait') return;
          wanted = true;
          crash();
        });
    },
    answers,
  };
}

const kept = z.object({ version: z.string(), at: z.array(z.number()).max(10) });
/** Deaths of the process that draws, within `soon`, after which the next start draws without the graphics card. */
const mostDeaths = 3;
/** Milliseconds until the card is tried again: its driver may have been mended. */
const mendedAfter = 7 * 24 * 3_600_000;

/** Remembers how often the process that draws has died. Chromium starts it anew by itself, and gives up with the whole app after some times: the next start must not end there again.
 * @param file in the user's data folder
 * @param version the program's: another one tries the card again */
export function drawing(
  file: string,
  version: string,
  clock: () => number = Date.now,
): { /** Without the graphics card, as the last start has shown. */ readonly software: boolean; died(reason: Reason): void } {
  let at: readonly number[] = [];
  try {
    const was = kept.parse(JSON.parse(readFileSync(file, 'utf8')));
    if (was.version === version) ({ at } = was);
  } catch {
    // nothing has died
  }
  const [last = -Infinity] = at.slice(-1),
    software = at.length >= mostDeaths && last <= clock() && clock() - last < mendedAfter;
  return {
    software,
    died: reason => {
      if (software || reason === 'clean-exit' || reason === 'killed' || reason === 'memory-eviction') return;
      at = [...at.filter(time => clock() - time < soon && time <= clock()), clock()].slice(-mostDeaths);
      try {
        writeFileSync(file, JSON.stringify({ version, at: [...at] } satisfies z.infer<typeof kept>), { mode: 0o600 });
      } catch {
        rmSync(file, { force: true });
      }
    },
  };
}

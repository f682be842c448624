/** @file A process that opens a library with a studio of its own, tiny one, and does what it is told by lines of JSON: `owner-child.ts HOME [--version V] [--become MS] [--patience MS] [--grace MS]`. */
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import type { StudioError } from '../../electron/contract/errors.ts';
import { actionOf } from '../../electron/contract/errors.ts';
import { client, host, method } from '../../electron/contract/rpc.ts';
import { openStudio, type Hosted } from '../../electron/studio/owner.ts';

const none = z.object({}).optional();
/** What this tiny studio does. */
export const counting = {
  owner: { show: method(none, z.object({ pid: z.number(), count: z.number() })) },
  count: {
    /** Adds one line to the library, durably enough for a SIGKILL. */
    add: method(z.object({ text: z.string() }), z.object({ count: z.number() })),
    /** Answers after so many milliseconds; the first reads, the second is taken to change something. */
    read: method(z.object({ ms: z.number() }), z.object({ pid: z.number() })),
    wait: method(z.object({ ms: z.number() }), z.object({ pid: z.number() })),
  },
} as const;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    version: { type: 'string', default: '1.0.0' },
    become: { type: 'string', default: '0' },
    patience: { type: 'string', default: '10000' },
    grace: { type: 'string', default: '30000' },
  },
});
const home = positionals[0]!,
  file = join(home, 'lines.txt');
const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);
const lines = () => {
  try {
    return readFileSync(file, 'utf8').split('\n').length - 1;
  } catch {
    return 0;
  }
};

async function become(): Promise<Hosted> {
  await sleep(Number(options.become));
  appendFileSync(join(home, 'owners.txt'), `${process.pid}\n`);
  const listeners = new Set<(event: unknown) => void>();
  const answer = host(
    counting,
    {
      owner: { show: () => ({ pid: process.pid, count: lines() }) },
      count: {
        add: ({ text }) => {
          appendFileSync(file, `${text}\n`);
          for (const listener of listeners) listener({ type: 'added', text });
          return { count: lines() };
        },
        read: async ({ ms }, signal) => (await sleep(ms, undefined, { signal }), { pid: process.pid }),
        wait: async ({ ms }, signal) => (await sleep(ms, undefined, { signal }), { pid: process.pid }),
      },
    },
    e => ({ code: 'failed', text: String(e), action: actionOf.failed }),
  );
  return {
    answer,
    subscribe: listener => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => Promise.resolve(),
  };
}

const began = performance.now();
try {
  const studio = await openStudio(home, become, {
    version: options.version,
    patience: Number(options.patience),
    grace: Number(options.grace),
    warn: text => say({ warn: text }),
  });
  say({ opened: true, owner: studio.owner, pid: process.pid, ms: performance.now() - began });
  const { owner, count } = client(counting, studio.transport);
  studio.gone.then(text => say({ gone: text }));
  const doing: Promise<void>[] = [];
  const verbs: Record<string, (input: never) => unknown> = {
    show: () => owner.show({}),
    add: count.add,
    read: count.read,
    wait: count.wait,
    subscribe: () => void studio.transport.subscribe(event => say({ event })),
    close: async () => {
      await Promise.all(doing);
      await studio.close();
      process.exit(0);
    },
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const { verb, input } = JSON.parse(line) as { verb: string; input: never };
    const done = (async () => {
      try {
        say({ verb, value: (await verbs[verb]!(input)) ?? null, owner: studio.owner });
      } catch (e) {
        say({ verb, code: (e as StudioError).code, text: (e as Error).message });
      }
    })();
    if (verb !== 'close') doing.push(done);
  }
  await studio.close();
} catch (e) {
  say({ failed: true, code: (e as StudioError).code, text: (e as Error).message, ms: performance.now() - began });
}

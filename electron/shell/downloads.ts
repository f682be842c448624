/** @file Downloads over an end of the app: one that a person has started goes on at the next start, however this one ends. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { event as eventSchema } from '../contract/events.ts';
import { download } from '../contract/records.ts';
import type { Transport } from '../contract/rpc.ts';

const kept = z.array(download.shape.id).max(1000);

/** Writes down which downloads are under way, until it is stopped: what was under way then goes on. One that a person pauses, that fails or that has come is written down no more.
 * @param file in the user's data folder */
export function keepDownloading(
  transport: Pick<Transport, 'call' | 'subscribe'>,
  file: string,
): {
  /** Goes on with those of the last start. With the offline switch on they wait for a person. */
  goOn(): Promise<void>;
  stop(): void;
} {
  const moving = new Set<string>();
  const write = () => {
    const part = `${file}.part`;
    try {
      if (moving.size === 0) return rmSync(file, { force: true });
      writeFileSync(part, JSON.stringify([...moving]), { mode: 0o600 });
      renameSync(part, file);
    } catch {
      rmSync(part, { force: true }); // then a person goes on with it
    }
  };
  const stop = transport.subscribe(said => {
    const { data } = eventSchema.safeParse(said);
    if (data?.type !== 'download') return;
    const { id, state } = data.download,
      moves = state === 'listing' || state === 'downloading';
    if (moves === moving.has(id)) return;
    if (moves) moving.add(id);
    else moving.delete(id);
    write();
  });
  return {
    goOn: async () => {
      let wanted: readonly string[];
      try {
        wanted = kept.parse(JSON.parse(readFileSync(file, 'utf8')));
      } catch {
        return; // none
      }
      const reply = await transport.call('downloads.list', undefined);
      if ('error' in reply) return; // the next start tries again
      const list = z.object({ downloads: z.array(download), network: z.object({ offline: z.boolean() }) }).safeParse(reply.value).data;
      if (!list || list.network.offline) return;
      for (const { id, state } of list.downloads)
        if (state === 'begun' && wanted.includes(id)) await transport.call('downloads.start', { id });
      if (moving.size === 0) write();
    },
    stop,
  };
}

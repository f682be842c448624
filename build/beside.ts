/**
 * @file What lies beside the archive as well as in it: code that runs as a process or thread of its own, or by a plain Node, which know no
 * archives. It is a copy: what the desktop app's own process runs is read from the archive, whose content is verified.
 */
import { closeSync, mkdirSync, openSync, readSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { archived } from './packed.ts';

/** The shell's own half runs in Electron alone. */
const inside = /^dist\/app\/electron\/shell\/(?!child(?:ren)?\.js$)/;
const beside = /^(?:dist\/app|node_modules\/(?:zod|ws))\//;

/** True for a file of the archive that is laid beside it, too. */
export const liesBeside = (file: string): boolean => beside.test(file) && !inside.test(file);

/** Lays beside a package's archive what has to run without it. @param resources the folder of both */
export function layBeside(resources: string): void {
  const archive = path.join(resources, 'app.asar');
  const handle = openSync(archive, 'r');
  try {
    for (const { file, bytes, at } of archived(archive)) {
      if (at === undefined || !liesBeside(file)) continue;
      const content = Buffer.alloc(bytes);
      if (readSync(handle, content, 0, bytes, at) < bytes) throw new Error(`${archive} ends within ${file}.`);
      const to = path.join(resources, 'app.asar.unpacked', file);
      mkdirSync(path.dirname(to), { recursive: true });
      writeFileSync(to, content);
    }
  } finally {
    closeSync(handle);
  }
}

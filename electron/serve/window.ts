/** @file The files of the window, known by name before anybody asks: a path that was not found when we looked leads nowhere. And two pages of ours: the door, and what stands in for a window that is not built. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';

/** A file that a page consists of. */
export interface PageFile {
  readonly type: string;
  /** Its name changes with its content. */
  readonly fixed: boolean;
  read(): Promise<Uint8Array>;
}

const types: Readonly<Partial<Record<string, string>>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.webp': 'image/webp',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
  '.txt': 'text/plain; charset=utf-8',
};

/** As Vite names what a page consists of: `assets/index-Dm3x_v9a.js`. */
const hashed = /^assets\/.*-[\w-]{8}\.\w+$/;

/** The files of a built window by their path in it, `/` between names and none hidden or linked; what stands in for it where there is no `index.html`. */
export function windowFiles(folder: string): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  const look = (inside: string) => {
    for (const entry of readdirSync(join(folder, inside), { withFileTypes: true })) {
      const name = inside === '' ? entry.name : `${inside}/${entry.name}`;
      if (entry.name.startsWith('.')) continue;
      if (entry.isDirectory()) look(name);
      else if (entry.isFile())
        files.set(name, {
          type: types[extname(name).toLowerCase()] ?? 'application/octet-stream',
          fixed: hashed.test(name),
          read: () => readFile(join(folder, name)),
        });
    }
  };
  try {
    look('');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return files.has('index.html') ? files : standIn;
}

const pageFile = (name: string): [string, PageFile] => {
  const path = new URL(`./pages/${name}`, import.meta.url);
  return [name, { type: types[extname(name)]!, fixed: false, read: () => readFile(path) }];
};
const standIn: ReadonlyMap<string, PageFile> = new Map(['index.html', 'stand-in.js', 'stand-in.css'].map(pageFile));

const script = readFileSync(new URL('./pages/door.js', import.meta.url), 'utf8');
/** The page that takes the token out of the address and changes it for a cookie. It is no secret: whoever is refused gets it too. */
export const door = {
  html: `<!doctype html><html lang="en"><meta charset="utf-8"><title>Protagonist</title><p id="said">Opening…</p><script>${script}</script></html>`,
  policy: `default-src 'none'; script-src 'sha256-${createHash('sha256').update(script).digest('base64')}'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
};

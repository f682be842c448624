/** @file The main side as JavaScript, for packages: `electron` and `native-models` as they lie, under `dist/app`. Node runs no TypeScript out of an archive. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const root = path.join(import.meta.dirname, '..');
const out = path.join(root, 'dist/app');

/** Compiles, without checking types: `npm run check` does. The preload is built by itself (`preload.config.ts`), into the same folder. */
export function buildApp(): void {
  rmSync(out, { recursive: true, force: true });
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  execFileSync(process.execPath, [compiler, '-p', path.join(import.meta.dirname, 'app.tsconfig.json')], { stdio: 'inherit' });
  cpSync(path.join(root, 'electron/serve/pages'), path.join(out, 'electron/serve/pages'), { recursive: true });
  // where the code lies, with the archive and without: that it is modules, which version, and where newer ones are announced
  const { name, version, updates } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Record<string, unknown>;
  mkdirSync(out, { recursive: true });
  writeFileSync(path.join(out, 'package.json'), `${JSON.stringify({ name, version, type: 'module', updates })}\n`);
}

if (import.meta.main) buildApp();

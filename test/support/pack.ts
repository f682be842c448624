/** @file Builds and packs the application as `npm run pack:dir` does, from an Electron that is none (the files that one has, without its code), and prints where it lies: `node test/support/pack.ts FOLDER FFMPEG`. Linux. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build, Platform } from 'electron-builder';
import { build as bundle } from 'vite';
import { buildApp } from '../../build/app.ts';
import { checkConfig } from '../../build/check.ts';
import { configuration } from '../../build/electron-builder.config.ts';
import { binaryOf, readHead } from '../../build/binaries.ts';
import { root } from './run.ts';

const [folder = '', ffmpeg = ''] = process.argv.slice(2);
const electron = path.join(folder, 'electron');
const put = (file: string, content: string | Uint8Array): void => {
  mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
  writeFileSync(path.join(folder, file), content, { mode: 0o755 });
};
const fuses = Buffer.concat([Buffer.from('dL7pKGdnNz796PbbjQWNKmHXBZaB9tsX'), Buffer.from([1, 9]), Buffer.from('101100011')]);
put('electron/electron', Buffer.concat([readHead(process.execPath), Buffer.alloc(70_000, 7), fuses, Buffer.alloc(1000)]));
for (const file of ['version', 'LICENSE', 'LICENSES.chromium.html']) put(`electron/${file}`, `${file}\n`);
for (const language of ['en-US', 'en-GB', 'de', 'ar', 'fr', 'ja']) put(`electron/locales/${language}.pak`, language);
put('ffmpeg.LICENSE', 'The licence of ffmpeg.\n');
put('ffmpeg.SOURCE', 'Where the source of ffmpeg is.\n');

buildApp();
await bundle({ configFile: path.join(root, 'build/preload.config.ts') });
await bundle({ configFile: path.join(root, 'renderer/vite.config.ts'), logLevel: 'warn' });
const config = configuration({
  program: ffmpeg,
  licence: path.join(folder, 'ffmpeg.LICENSE'),
  source: path.join(folder, 'ffmpeg.SOURCE'),
  notes: undefined,
  binary: binaryOf(readHead(ffmpeg))!,
});
const wrong = checkConfig(config, { built: true });
if (wrong.length > 0) throw new Error(wrong.join('\n'));
await build({
  projectDir: root,
  targets: Platform.LINUX.createTarget('dir'),
  config: { ...config, electronDist: electron, directories: { ...config.directories, output: path.join(folder, 'out') } },
  publish: 'never',
});
process.stdout.write(`${path.join(folder, 'out/linux-unpacked')}\n`);

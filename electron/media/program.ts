/** @file Where the program's own things lie: in the source tree, or in a package. Where this very file lies says it, so that a plain Node finds all of it too. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** What comes with the program, by absolute paths. */
export interface Program {
  readonly version: string;
  /** The switch for updates, as `package.json` has it. */
  readonly updates: unknown;
  /** The folder of a package's resources; in the tree, the tree. */
  readonly resources: string;
  /** Toybox, the photos of its toys, and the list of checkpoints. */
  readonly assets: string;
  /** The built window. */
  readonly window: string;
  /** What a dragged clip looks like. */
  readonly icon: string;
  /** The ffmpeg that was packed; undefined in the tree. */
  readonly ffmpeg: string | undefined;
  /**
   * The file of a script of ours, to start as a process or a thread: compiled where we are, and never inside an archive, which the system and
   * a plain Node cannot read.
   * @param name as an import would say it: `./heic.ts`
   * @param from the asking module's `import.meta.url`
   */
  readonly scriptAt: (name: string, from: string) => string;
}

/**
 * What comes with the program that this module is part of. There are three: the tree (`electron/media/program.ts`), what was compiled of it
 * (`dist/app/electron/media/program.js`, which uses the tree's things), and a package (`resources/app.asar/dist/app/…`, or the copy in
 * `resources/app.asar.unpacked/dist/app/…`, whose things lie in `resources`).
 * @param url the module's, in the folder `electron/media`
 * @throws Error where there is no package.json: the program is not whole
 */
export function programAt(url: string): Program {
  const code = path.resolve(fileURLToPath(url), '../../..');
  const compiled = url.endsWith('.js');
  const [archive, resources] = /^(.*)[\\/]app\.asar(?:\.unpacked)?(?=[\\/]dist[\\/]app$)/.exec(code) ?? [];
  const root = archive ?? (compiled ? path.resolve(code, '../..') : code);
  const { version, updates } = JSON.parse(readFileSync(path.join(code, 'package.json'), 'utf8')) as { version: string; updates: unknown };
  return {
    version,
    updates,
    resources: resources ?? root,
    assets: path.join(resources ?? root, 'assets'),
    window: path.join(resources ?? root, resources === undefined ? 'dist/renderer' : 'renderer'),
    icon: path.join(root, 'build/icons/64x64.png'),
    ffmpeg: resources && path.join(resources, 'ffmpeg', process.platform === 'win32' ? 'ffmpeg.exe' : 'ffmpeg'),
    scriptAt: (name, from) => {
      const file = fileURLToPath(new URL(compiled ? name.replace(/\.ts$/, '.js') : name, from));
      return archive !== undefined && file.startsWith(archive)
        ? path.join(`${resources!}/app.asar.unpacked`, file.slice(archive.length))
        : file;
    },
  };
}

export const program = programAt(import.meta.url);
export const { version: programVersion, scriptAt } = program;

/**
 * @file What lies in a packed application's resources: its machine code and what each part weighs, and whether that is as it has to be.
 *
 * `node build/packed.ts release/linux-unpacked/resources linux x64` prints it.
 */
import { globSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { binaryOf, readHead, runsOn, type Binary } from './binaries.ts';

/** A file of machine code in a package. */
export interface Native extends Binary {
  /** Under the resources. */
  readonly file: string;
  readonly bytes: number;
}

/** What was found. */
export interface Packed {
  readonly natives: readonly Native[];
  /** Bytes of each part, the heaviest first. */
  readonly parts: readonly (readonly [name: string, bytes: number])[];
  /** One sentence for each thing that must not be so. */
  readonly wrong: readonly string[];
}

/** An entry of an archive's table: a folder has files, a file an offset unless it lies beside the archive. */
interface Entry {
  readonly files?: Readonly<Record<string, Entry>>;
  readonly size?: number;
  readonly offset?: string;
  readonly link?: string;
}

/** The files of an asar archive, with where each begins. An archive is a Pickle with a JSON table, then the files. */
export function* archived(archive: string): Generator<{ readonly file: string; readonly bytes: number; readonly at: number | undefined }> {
  const sizes = readHead(archive);
  const table = readHead(archive, 16, sizes.readUInt32LE(12)).toString('utf8');
  const begin = 8 + sizes.readUInt32LE(4);
  function* walk(folder: string, { files = {} }: Entry): Generator<{ file: string; bytes: number; at: number | undefined }> {
    for (const [name, entry] of Object.entries(files))
      if (entry.files) yield* walk(`${folder}${name}/`, entry);
      else if (entry.link === undefined)
        yield { file: folder + name, bytes: entry.size ?? 0, at: entry.offset === undefined ? undefined : begin + Number(entry.offset) };
  }
  yield* walk('', JSON.parse(table) as Entry);
}

/** The part of a package that a file belongs to: the archive, a folder beside it, or a module in that. */
function partOf(file: string): string {
  return /^(?:app\.asar\.unpacked\/)?(?:node_modules\/(?:@[^/]+\/)?)?[^/]+/.exec(file)![0];
}

const unpacked = 'app.asar.unpacked/';
/** What the archive holds of every package, beside all else. */
const archive = [
  'package.json',
  'dist/app/package.json',
  'dist/app/electron/shell/main.js',
  'dist/app/electron/shell/preload.cjs',
  'build/icons/64x64.png',
];
/** What every package holds, under its resources. */
const needed = [
  'app.asar',
  'app.asar.unpacked/dist/app/package.json',
  'app.asar.unpacked/dist/app/electron/engine/main.js',
  'app.asar.unpacked/dist/app/electron/protagonist.js',
  'assets/checkpoints.json',
  'assets/toybox/model_index.json',
  'assets/toybox/photos/samples.json',
  'renderer/index.html',
  'renderer/licences.txt',
  'ffmpeg/LICENSE.txt',
  'ffmpeg/SOURCE.txt',
  'LICENSE.txt',
];

const specifier =
  /^(?:import|export)\s[^;'"]*?\bfrom\s*["']([^"']+)["']|^import\s*["']([^"']+)["']|\b(?:import|require)\(\s*["']([^"']+)["']\s*\)/gm;
const packageName = /^(?:@[^/]+\/)?[^/]+/;

/** What code of ours imports and is not there. */
function unmet(files: ReadonlySet<string>, read: (file: string) => string, where: string): string[] {
  return [...files]
    .filter(file => file.startsWith('dist/app/') && file.endsWith('.js'))
    .flatMap(file =>
      [...read(file).matchAll(specifier)].flatMap(match => {
        const name = (match[1] ?? match[2] ?? match[3])!;
        if (name.startsWith('node:') || name === 'electron') return [];
        const wanted = name.startsWith('.')
          ? path.posix.join(path.posix.dirname(file), name)
          : `node_modules/${packageName.exec(name)![0]}/package.json`;
        return files.has(wanted) ? [] : [`${file} imports ${name}, which is not ${where}.`];
      }),
    );
}

/** Looks at a packed application's resources, for the machine they are for. */
export function inspect(resources: string, platform: string, arch: string): Packed {
  const wrong: string[] = [];
  const natives: Native[] = [];
  const parts = new Map<string, number>();
  const files = globSync('**', { cwd: resources, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => path.relative(resources, path.join(entry.parentPath, entry.name)).split(path.sep).join('/'));
  for (const file of files) {
    const bytes = statSync(path.join(resources, file)).size;
    parts.set(partOf(file), (parts.get(partOf(file)) ?? 0) + bytes);
    const binary = binaryOf(readHead(path.join(resources, file)));
    if (!binary) continue;
    natives.push({ file, bytes, ...binary });
    if (!runsOn(binary, platform, arch))
      wrong.push(`${file} is for ${binary.platform} on ${binary.archs.join(' and ')}, in a package for ${platform} on ${arch}.`);
  }
  const has = new Set(files);
  const ffmpeg = platform === 'win32' ? 'ffmpeg/ffmpeg.exe' : 'ffmpeg/ffmpeg';
  for (const file of [...needed, ffmpeg]) if (!has.has(file)) wrong.push(`${file} is missing.`);
  if (has.has('app.asar')) {
    const inside = new Map<string, readonly [at: number, bytes: number]>();
    const besides = new Set(files.flatMap(file => (file.startsWith(unpacked) ? [file.slice(unpacked.length)] : [])));
    for (const { file, bytes, at } of archived(path.join(resources, 'app.asar'))) {
      inside.set(file, [at ?? 0, bytes]);
      if (at === undefined) {
        if (!besides.has(file)) wrong.push(`${file} is neither in the archive nor beside it.`);
      } else if (binaryOf(readHead(path.join(resources, 'app.asar'), at))) wrong.push(`${file} is machine code inside the archive.`);
    }
    for (const file of archive) if (!inside.has(file)) wrong.push(`${file} is missing in the archive.`);
    const read = (file: string): string => readHead(path.join(resources, 'app.asar'), ...inside.get(file)!).toString('utf8');
    wrong.push(...unmet(new Set(inside.keys()), read, 'in the archive'));
    wrong.push(...unmet(besides, file => readFileSync(path.join(resources, unpacked, file), 'utf8'), 'beside the archive'));
  }
  const module = `onnxruntime-node/bin/napi-v6/${platform}/${arch}/onnxruntime_binding.node`;
  for (const name of [module, `sharp-${platform}-${arch}`, `koffi-${platform}-${arch}`])
    if (!natives.some(({ file }) => file.startsWith(unpacked) && file.includes(name)))
      wrong.push(`${name} is missing: install the packages for ${platform} on ${arch} (npm ci --os=${platform} --cpu=${arch}).`);
  return { natives, parts: [...parts].sort((a, b) => b[1] - a[1]), wrong };
}

if (import.meta.main) {
  const [resources = '.', platform = process.platform, arch = process.arch] = process.argv.slice(2);
  const { natives, parts, wrong } = inspect(resources, platform, arch);
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1).padStart(8)} MB`;
  const lines = [
    'Machine code:',
    ...natives.map(({ file, bytes }) => `${megabytes(bytes)}  ${file}`),
    'Parts:',
    ...parts.filter(([, bytes]) => bytes > 100_000).map(([name, bytes]) => `${megabytes(bytes)}  ${name}`),
    `${megabytes(parts.reduce((sum, [, bytes]) => sum + bytes, 0))}  in all`,
    ...wrong,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}

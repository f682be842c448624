/**
 * @file What electron-builder's schema does not know: whether this configuration packs our application, so that it starts and is as closed as we
 * say. Patterns are asked of electron-builder's own matchers, about the files that are there and those of machines that are not this one.
 */
import { FuseV1Options, type FuseConfig } from '@electron/fuses';
import type { Configuration, FileSet, PlatformSpecificBuildOptions, TargetConfiguration } from 'electron-builder';
import { existsSync, globSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import * as fileMatcher from 'app-builder-lib/out/fileMatcher.js';
import { doMergeConfigs } from 'app-builder-lib/out/util/config/config.js';
import { afterPack } from './after-pack.ts';
import { liesBeside } from './beside.ts';
import { manifest, moduleFolder, productionModules } from './modules.ts';
import { binaryOf, readHead, runsOn, type Platform } from './binaries.ts';

const projectRoot = path.join(import.meta.dirname, '..');

/** What is read of electron-builder's inside. It is pinned, and what changed there would show as a failing test. */
interface Matcher {
  createFilter(): (file: string, stat: { isDirectory(): boolean; moduleFullFilePath?: string }) => boolean;
}
interface Matchers {
  readonly getMainFileMatchers: (...args: readonly unknown[]) => Matcher[];
  readonly getNodeModuleFileMatcher: (...args: readonly unknown[]) => Matcher;
  readonly getFileMatchers: (...args: readonly unknown[]) => Matcher[] | null;
}
const { getMainFileMatchers, getNodeModuleFileMatcher, getFileMatchers } = fileMatcher as unknown as Matchers;

/** What a package for one machine holds, asked by a file's path. */
interface Selection {
  readonly packs: (file: string) => boolean;
  /** Whether it lies beside the archive, instead of in it or as well. */
  readonly unpacks: (file: string) => boolean;
}

/** What this configuration does with files, for one machine. */
function selection(config: Configuration, options: PlatformSpecificBuildOptions, arch: string, root: string): Selection {
  const macro = (text: string): string => text.replaceAll('${arch}', arch);
  const app = path.join(root, 'release', 'app');
  const packager = {
    config,
    projectDir: root,
    buildResourcesDir: config.directories?.buildResources ?? 'build',
    isPrepackedAppAsar: false,
    debugLogger: { isEnabled: false },
  };
  const ours = getMainFileMatchers(root, app, macro, options, { info: packager }, path.join(root, 'release'), false)[0]!.createFilter();
  const modules = getNodeModuleFileMatcher(root, app, macro, options, packager).createFilter();
  const beside = getFileMatchers(config, 'asarUnpack', app, {
    macroExpander: macro,
    customBuildOptions: options,
    globalOutDir: path.join(root, 'release'),
    defaultSrc: root,
  })?.[0]?.createFilter();
  const ask = (filter: ReturnType<Matcher['createFilter']>, file: string): boolean =>
    filter(path.join(root, file), { isDirectory: () => false, moduleFullFilePath: file });
  return {
    packs: file => ask(file.startsWith('node_modules/') ? modules : ours, file),
    unpacks: file => liesBeside(file) || (beside !== undefined && ask(beside, file)),
  };
}

const packageName = /^(?:@[^/]+\/)?[^/]+/;
const specifier =
  /^(?:import|export)\s(?!type\b)[^;'"]*?\bfrom\s*'([^']+)'|^import\s*'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|\brequire\('([^']+)'\)/gm;

const slashed = (file: string): string => file.split(path.sep).join('/');

/** The scripts that are started as a process or a thread, by the way they are named, and the command line. */
function started(root: string): string[] {
  const scripts = globSync('electron/**/*.ts', { cwd: root }).flatMap(file =>
    [...readFileSync(path.join(root, file), 'utf8').matchAll(/\bscriptAt\('(\.[^']+\.ts)', import\.meta\.url\)/g)].map(match =>
      path.posix.join(path.posix.dirname(slashed(file)), match[1]!),
    ),
  );
  return [...new Set(['electron/protagonist.js', ...scripts])].sort();
}

/** What onnxruntime-node asks for to download more of itself, and never again. */
const installing = new Set(['adm-zip', 'global-agent']);

/** All that scripts import: files of ours, and packages with what those depend on, by the file that every package has. */
function closure(scripts: readonly string[], root: string): string[] {
  const seen = new Set<string>();
  const next = [...scripts];
  const ask = (name: string, from: string): void =>
    void next.push(`${moduleFolder(name, from, root) ?? `node_modules/${name}`}/package.json`);
  for (let file = next.pop(); file !== undefined; file = next.pop()) {
    if (seen.has(file)) continue;
    seen.add(file);
    const folder = path.posix.dirname(file);
    if (file.startsWith('node_modules/')) {
      for (const name of Object.keys(manifest(folder, root).dependencies ?? {})) if (!installing.has(name)) ask(name, folder);
      continue;
    }
    for (const match of readFileSync(path.join(root, file), 'utf8').matchAll(specifier)) {
      const name = (match[1] ?? match[2] ?? match[3] ?? match[4])!;
      if (name.startsWith('.')) next.push(path.posix.join(folder, name));
      else if (!name.startsWith('node:') && name !== 'electron') ask(packageName.exec(name)![0], '.');
    }
  }
  return [...seen].sort();
}

/** Machine code in the packages that are installed here. */
function installedNatives(root: string): string[] {
  return productionModules(root).flatMap(folder =>
    readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile() && !/\.(?:[cm]?[jt]s|json|md|map|h|cc|txt|wasm)$/.test(entry.name))
      .map(entry => slashed(path.relative(root, path.join(entry.parentPath, entry.name))))
      .filter(file => binaryOf(readHead(path.join(root, file))) !== undefined),
  );
}

/** What a source is in a package. */
const compiled = (file: string): string =>
  file.startsWith('node_modules/') ? file : `dist/app/${file.replace(/\bpreload\.ts$/, 'preload.cjs').replace(/\.ts$/, '.js')}`;

/** What is there to be packed, by the paths it has in a package. */
interface Survey {
  /** Code of ours. */
  readonly sources: readonly string[];
  /** What is started as a process or thread, with all that it imports. */
  readonly started: readonly string[];
  /** Machine code of packages. */
  readonly natives: readonly string[];
}
const surveys = new Map<string, Survey>();
function survey(root: string): Survey {
  const known = surveys.get(root) ?? {
    sources: globSync('{electron,native-models}/**/*.{ts,js,html,css}', { cwd: root }).map(file => compiled(slashed(file))),
    started: closure(started(root), root).map(compiled),
    natives: installedNatives(root),
  };
  surveys.set(root, known);
  return known;
}

/** Files that packages would bring for a machine, whether or not they are installed here. */
const nativesFor = (platform: string, arch: string): string[] => [
  `node_modules/onnxruntime-node/bin/napi-v6/${platform}/${arch}/onnxruntime_binding.node`,
  `node_modules/@img/sharp-${platform}-${arch}/lib/sharp-${platform}-${arch}.node`,
  `node_modules/@img/sharp-libvips-${platform}-${arch}/lib/libvips-cpp.so`,
  `node_modules/@koromix/koffi-${platform}-${arch}/${platform}_${arch}/koffi.node`,
];
const machines = ['linux', 'linuxmusl', 'darwin', 'win32', 'freebsd'].flatMap(platform =>
  ['x64', 'arm64', 'ia32'].map(arch => ({ platform, arch, natives: nativesFor(platform, arch) })),
);
/** What has to lie beside the archive, whichever machine it is for: a file of each. */
const besides = [
  'node_modules/onnxruntime-common/package.json',
  'node_modules/koffi/index.cjs',
  'node_modules/sharp/package.json',
  'node_modules/@img/colour/package.json',
  'node_modules/ffmpeg-static/ffmpeg',
  'node_modules/@ffmpeg-installer/linux-x64/ffmpeg',
  'node_modules/libheif-js/package.json',
  'node_modules/@techstark/opencv-js/package.json',
];
/** What no package holds: files that are there, or would be. */
const foreign = [
  'test/unit/rpc.test.ts',
  'renderer/App.svelte',
  'build/check.ts',
  'electron/cli.ts',
  'dist/renderer/index.html',
  'assets/toybox/model_index.json',
  'release/app.zip',
  'node_modules/ffmpeg-static/ffmpeg',
  'node_modules/@ffmpeg-installer/linux-x64/ffmpeg',
];

const list = <T>(value: T | readonly T[] | null | undefined): readonly T[] =>
  value === null || value === undefined ? [] : Array.isArray(value) ? (value as readonly T[]) : [value as T];

/** The targets of each platform. */
const wantedTargets: Readonly<Record<'linux' | 'win' | 'mac', { readonly platform: Platform; readonly targets: readonly string[] }>> = {
  linux: { platform: 'linux', targets: ['AppImage', 'deb'] },
  win: { platform: 'win32', targets: ['nsis'] },
  mac: { platform: 'darwin', targets: ['dmg', 'zip'] },
};

/** What is packed for one platform. @returns sentences */
function checkFiles(config: Configuration, key: 'linux' | 'mac' | 'win', arch: string, root: string): string[] {
  const wrong: string[] = [];
  const { platform } = wantedTargets[key];
  const { packs, unpacks } = selection(config, config[key] ?? {}, arch, root);
  const { sources, started, natives } = survey(root);
  const machine = `for ${platform} on ${arch}`;
  const runtime = `node_modules/onnxruntime-node/bin/napi-v6/${platform}/${arch}`;
  if (!existsSync(path.join(root, runtime))) wrong.push(`${runtime} is not there: ONNX Runtime has nothing ${machine}.`);
  for (const file of sources) if (!packs(file)) wrong.push(`${file} is not packed ${machine}.`);
  for (const file of foreign) if (packs(file)) wrong.push(`${file} is packed ${machine}, and should not be.`);
  for (const file of started)
    if (!packs(file)) wrong.push(`${file} is not packed ${machine}.`);
    else if (!unpacks(file))
      wrong.push(`${file} stays inside the archive, where a process that is started from beside it does not find it.`);
  for (const file of besides)
    if (!unpacks(file)) wrong.push(`${file} stays inside the archive, from where it cannot be loaded or started.`);
  for (const native of natives) {
    const ours = runsOn(binaryOf(readHead(path.join(root, native)))!, platform, arch) && !/\bmusl_/.test(native);
    if (packs(native) && !ours) wrong.push(`${native} is packed ${machine}, where it does not run.`);
    if (packs(native) && !unpacks(native)) wrong.push(`${native} stays inside the archive, from where it cannot be loaded.`);
  }
  for (const other of machines)
    for (const native of other.natives) {
      const ours = other.platform === platform && other.arch === arch;
      if (ours && !packs(native)) wrong.push(`${native} is not packed ${machine}.`);
      else if (ours && !unpacks(native)) wrong.push(`${native} stays inside the archive, from where it cannot be loaded.`);
      else if (!ours && packs(native)) wrong.push(`${native} would be packed ${machine}, where it does not run.`);
    }
  return wrong;
}

/** The resources: that each is there, and that none is missing. @returns sentences */
function checkResources(config: Configuration, root: string, built: boolean): string[] {
  const wrong: string[] = [];
  const resources = list(config.extraResources).map((entry): FileSet => (typeof entry === 'string' ? { from: entry, to: entry } : entry));
  for (const { from = '' } of resources) {
    const made = from.startsWith('dist/');
    if (!existsSync(path.resolve(root, from)) && (built || !made))
      wrong.push(`The resource ${from} is not there${made ? ': run `npm run build` first' : ''}.`);
  }
  const wanted: Readonly<Record<string, string>> = {
    assets: 'Toybox, the samples and the list of checkpoints would be missing',
    renderer: 'there would be no window',
    'ffmpeg/LICENSE.txt': 'ffmpeg may not be given away without its licence',
    'ffmpeg/SOURCE.txt': 'ffmpeg may not be given away without saying where its source is',
    'LICENSE.txt': 'our own licence goes with what is under it',
  };
  for (const [to, why] of Object.entries(wanted))
    if (!resources.some(resource => resource.to === to)) wrong.push(`No resource goes to ${to}: ${why}.`);
  if (!resources.some(({ to }) => to === 'ffmpeg/ffmpeg' || to === 'ffmpeg/ffmpeg.exe'))
    wrong.push('No resource goes to ffmpeg/ffmpeg: no clip could be written.');
  return wrong;
}

/** Each fuse, and why it stands as it does. */
const wantedFuses: Readonly<Record<keyof typeof FuseV1Options, readonly [on: boolean, why: string]>> = {
  RunAsNode: [false, 'anyone could run scripts under our name with ELECTRON_RUN_AS_NODE'],
  EnableCookieEncryption: [true, 'cookies would lie readable on the disk'],
  EnableNodeOptionsEnvironmentVariable: [false, 'NODE_OPTIONS could load code into us'],
  EnableNodeCliInspectArguments: [false, '--inspect would open us to any local process'],
  EnableEmbeddedAsarIntegrityValidation: [true, 'a changed archive would be started'],
  OnlyLoadAppFromAsar: [true, 'a folder beside the archive would be started instead of it'],
  LoadBrowserProcessSpecificV8Snapshot: [false, 'a snapshot is code that no check of the archive sees'],
  GrantFileProtocolExtraPrivileges: [false, 'pages of file: would be trusted, and we have none'],
  WasmTrapHandlers: [true, 'WebAssembly would check each access in software'],
};

/** @returns a sentence for each fuse that is not as it should be */
export function checkFuses(fuses: FuseConfig): string[] {
  const wrong = Object.entries(wantedFuses).flatMap(([name, [on, why]]) =>
    fuses[FuseV1Options[name as keyof typeof FuseV1Options]] === on ? [] : [`The fuse ${name} has to be ${on ? 'on' : 'off'}: ${why}.`],
  );
  if (fuses.strictlyRequireAllFuses !== true)
    wrong.push('strictlyRequireAllFuses has to be true: a fuse that a later Electron adds would be left as it comes.');
  return wrong;
}

/**
 * Looks at a configuration that the schema accepts.
 * @param options.built whether what `npm run build` makes has to be there, as it has to when packing
 * @returns a sentence for each thing that is wrong
 */
export function checkConfig(given: Configuration, { root = projectRoot, built = false } = {}): string[] {
  const wrong: string[] = [];
  const must = (holds: boolean, sentence: string): void => {
    if (!holds) wrong.push(sentence);
  };
  must(/^[a-z]+(\.[A-Za-z0-9-]+){2,}$/.test(given.appId ?? ''), 'appId has to be a name such as org.example.App.');
  must(
    /^\S+$/.test(given.productName ?? ''),
    'productName has to be without spaces: it becomes file names, and Electron has crashed on them.',
  );
  must(given.asar === true, 'asar has to be true: without an archive there is nothing whose content could be verified.');
  must(given.publish === null, 'publish has to be null: unset, electron-builder guesses where to publish from the environment.');
  must(given.npmRebuild === false, 'npmRebuild has to be false: all natives come built, and building them needs a network.');
  must(
    given.electronFuses === undefined,
    'electronFuses has to be unset: its fuses are older than the binary; build/after-pack.ts sets them.',
  );
  must(
    given.afterPack === afterPack,
    'afterPack has to be the hook of build/after-pack.ts: without it no fuse is set and nothing is looked at.',
  );
  must(given.disableAsarIntegrity !== true, 'disableAsarIntegrity has to be unset: the archive would not be verified.');
  must(given.downloadAlternateFFmpeg !== true, "downloadAlternateFFmpeg has to be unset: the window needs Electron's own codecs.");
  must(given.fileAssociations === undefined, 'fileAssociations has to be unset: clips open in what a person chose for them.');
  must(given.toolsets?.appimage === '1.0.3', 'toolsets.appimage has to be 1.0.3: the default starts the application with --no-sandbox.');
  for (const language of ['en', 'de', 'ar'])
    must(list(given.electronLanguages).includes(language), `electronLanguages lacks ${language}, which the window speaks.`);
  must(given.nsis?.perMachine !== true, 'nsis.perMachine has to be false: installing must not need an administrator.');
  must(given.nsis?.oneClick === true, 'nsis.oneClick has to be true: the other installer offers to install for everyone.');
  must(given.nsis?.deleteAppDataOnUninstall !== true, 'nsis.deleteAppDataOnUninstall has to be unset: a library outlives the application.');
  must(given.mac?.hardenedRuntime !== false, 'mac.hardenedRuntime has to be on: macOS notarizes nothing without.');
  must(
    list(given.deb?.depends).includes('libnss3'),
    'deb.depends has to list what Electron needs: an empty list installs an application that does not start.',
  );
  must(/^.+ <.+@.+>$/.test(given.linux?.maintainer ?? ''), 'linux.maintainer has to be a name and an address: a deb is not built without.');
  const icons = ['build/icon.ico', 'build/icon.icns', ...[16, 24, 32, 48, 64, 128, 256, 512].map(n => `build/icons/${n}x${n}.png`)];
  must(
    given.win?.icon === icons[0] && given.mac?.icon === icons[1] && given.linux?.icon === 'icons',
    'Each platform has to name its icon.',
  );
  for (const file of [...icons, given.mac?.entitlements ?? 'build/entitlements.plist'])
    must(existsSync(path.join(root, file)), `${file} is not there.`);
  wrong.push(...checkResources(given, root, built));
  if (built)
    for (const file of ['dist/app/electron/shell/main.js', 'dist/app/electron/shell/preload.cjs'])
      must(existsSync(path.join(root, file)), `${file} is not there: run \`npm run build\` first.`);

  const config = doMergeConfigs([{ ...given, files: [...list(given.files)], extraResources: [...list(given.extraResources)] }]); // it changes what it is given
  for (const key of ['linux', 'win', 'mac'] as const) {
    const { targets } = wantedTargets[key];
    const found = list(given[key]?.target).map((entry): TargetConfiguration => (typeof entry === 'string' ? { target: entry } : entry));
    for (const target of targets)
      must(
        found.some(entry => entry.target === target),
        `${key} has to be packed as ${target}.`,
      );
    must(given[key]?.publish === undefined, `${key}.publish has to be unset: nothing is published by packing.`);
    for (const entry of found) must(list(entry.arch).length > 0, `${key}.target has to say for which processors ${entry.target} is.`);
    for (const arch of new Set(found.flatMap(entry => list(entry.arch)))) wrong.push(...checkFiles(config, key, arch, root));
  }
  return [...new Set(wrong)];
}

/** @file The packages of npm that ship, and the texts that they may be given away with. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** What is read of a package.json. */
interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly author?: string | { readonly name: string };
  readonly repository?: string | { readonly url: string };
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}
export const manifest = (folder: string, root: string): Manifest =>
  JSON.parse(readFileSync(path.join(root, folder, 'package.json'), 'utf8')) as Manifest;

/** Where a package lies that another one, or `.`, asks for; undefined where it is not installed. */
export function moduleFolder(name: string, from: string, root: string): string | undefined {
  const places = [`${from === '.' ? '' : `${from}/`}node_modules/${name}`, `node_modules/${name}`];
  return places.find(place => existsSync(path.join(root, place, 'package.json')));
}

/**
 * The packages that the application needs and that are installed here, by their folders, in order.
 * @param without packages that are left out, with what only they need
 */
export function productionModules(root: string, without: ReadonlySet<string> = new Set()): string[] {
  const found = new Set<string>();
  const visit = (folder: string): void => {
    const { dependencies, optionalDependencies } = manifest(folder, root);
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const at = without.has(name) ? undefined : moduleFolder(name, folder, root);
      if (at === undefined || found.has(at)) continue; // for other machines, or seen
      found.add(at);
      visit(at);
    }
  };
  visit('.');
  return [...found].sort();
}

const texts = path.join(import.meta.dirname, 'licences');
const ours = (name: string): string => readFileSync(path.join(texts, name), 'utf8').trim();
const mit = (holder: string, year = ''): string => `MIT License\n\nCopyright (c) ${year}${holder}\n\n${ours('MIT.txt')}`;
/** Texts of packages that bring none, by the beginning of their names. */
const missing: Readonly<Record<string, (folder: string, root: string) => string>> = {
  onnxruntime: () =>
    `${mit('Microsoft Corporation')}\n\nParts of it by others: https://github.com/microsoft/onnxruntime/blob/main/ThirdPartyNotices.txt`,
  'lazy-val': () => mit('Vladimir Krivosheev'),
  '@koromix/koffi': (_, root) => readFileSync(path.join(root, 'node_modules/koffi/LICENSE.txt'), 'utf8').trim(),
  '@img/sharp-libvips': (folder, root) => `${readFileSync(path.join(root, folder, 'README.md'), 'utf8').trim()}\n\n${ours('LGPL-3.0.txt')}`,
};

/** A package's licence: what it is called, and its text. */
interface Licence {
  readonly name: string;
  readonly called: string;
  readonly source: string | undefined;
  readonly text: string;
}

/** Where a repository is to be read, of all the ways of naming one. */
function address(repository: string): string {
  const name = /^(?:github:|(?:git\+)?(?:\w+:\/\/)?(?:git@)?github\.com[/:])?([\w.-]+\/[\w.-]+?)(?:\.git)?$/.exec(repository)?.[1];
  return name === undefined ? repository.replace(/^git\+/, '') : `https://github.com/${name}`;
}

/** @throws Error if there is no text: what has none may not be given away */
function licenceOf(folder: string, root: string): Licence {
  const { name, version, license, repository } = manifest(folder, root);
  const files = readdirSync(path.join(root, folder)).filter(file => /^(?:licen[cs]e|copying|notice)(?:[.-][\w.-]+)?$/i.test(file));
  const text =
    files.length > 0
      ? files
          .sort()
          .map(file => readFileSync(path.join(root, folder, file), 'utf8').trim())
          .join('\n\n')
      : Object.entries(missing).find(([start]) => name.startsWith(start))?.[1](folder, root);
  if (!text) throw new Error(`${name} brings no licence text: add one to build/modules.ts, or do without it.`);
  return {
    name: `${name} ${version}`,
    called: (license ?? 'as below').replace(/^\((.*)\)$/, '$1'),
    source: repository && address(typeof repository === 'string' ? repository : repository.url),
    text: text.replaceAll('\r\n', '\n'),
  };
}

const line = '\u2500'.repeat(80);
/**
 * The licences of packages, each text once.
 * @param folders of the packages, under `root`
 * @returns plain text: which packages, then their licence
 * @throws Error if one has no licence text
 */
export function licencesOf(folders: Iterable<string>, root: string): string {
  const groups = new Map<string, Licence[]>();
  for (const folder of [...new Set(folders)].sort()) {
    const licence = licenceOf(folder, root);
    groups.set(licence.text, [...(groups.get(licence.text) ?? []), licence]);
  }
  const parts = [...groups].map(([text, those]) => {
    const heads = those.map(({ name, called, source }) => `${name} (${called})${source === undefined ? '' : `, ${source}`}`);
    return `${line}\n${heads.join('\n')}\n\n${text}\n`;
  });
  const lesser = [...groups.values()].flat().some(({ called }) => called.startsWith('LGPL'));
  return [
    'Protagonist is under the Apache License 2.0. It is made with these parts by others, each under its own licence.\n' +
      'In a package, the licences of Electron and Chromium lie beside the program (LICENSE.electron.txt, LICENSES.chromium.html),\n' +
      "ffmpeg's, and where its source is, in resources/ffmpeg.\n",
    ...parts,
    ...(lesser ? [`${line}\nThe GNU General Public License, which the Lesser one refers to\n\n${ours('GPL-3.0.txt')}\n`] : []),
  ].join('\n');
}

/** ffmpeg is no part of the archive: it is packed as a program with a licence of its own. */
const beside = new Set(['ffmpeg-static', '@ffmpeg-installer/linux-x64']);

/** As much of Vite's plugins as this one is. */
interface Licences {
  readonly name: string;
  generateBundle(
    this: { getModuleIds(): Iterable<string>; emitFile(file: { type: 'asset'; fileName: string; source: string }): unknown },
    options: unknown,
    bundle: Readonly<Record<string, { readonly originalFileNames?: readonly string[] }>>,
  ): void;
}
/** A plugin of Vite: writes `licences.txt` among the window's files, of what the window is made with and of what the main side needs. */
export function licences(root: string): Licences {
  return {
    name: 'protagonist:licences',
    generateBundle(_, bundle) {
      const files = Object.values(bundle).flatMap(({ originalFileNames = [] }) => originalFileNames); // fonts are no modules
      const bundled = [...this.getModuleIds(), ...files].flatMap(
        id => /\/(node_modules\/(?:@[^/]+\/)?[^/]+(?:\/node_modules\/(?:@[^/]+\/)?[^/]+)*)\//.exec(id)?.[1] ?? [],
      );
      this.emitFile({
        type: 'asset',
        fileName: 'licences.txt',
        source: licencesOf([...productionModules(root, beside), ...bundled], root),
      });
    },
  };
}

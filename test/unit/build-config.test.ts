/** @file What electron-builder is told: accepted by its schema and by our own checks, and every way of getting it wrong refused by one of them; the hook, ffmpeg and the icons. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { FuseState, FuseV1Options, getCurrentFuseWire } from '@electron/fuses';
import { getConfig, validateConfiguration } from 'app-builder-lib/out/util/config/config.js';
import type { Configuration } from 'electron-builder';
import sharp from 'sharp';
import { fuses, setFuses } from '../../build/after-pack.ts';
import { binaryOf, readHead, runsOn } from '../../build/binaries.ts';
import { layBeside, liesBeside } from '../../build/beside.ts';
import { checkConfig, checkFuses } from '../../build/check.ts';
import { configuration } from '../../build/electron-builder.config.ts';
import { findFfmpeg, FfmpegMissing } from '../../build/ffmpeg.ts';
import { draw, icnsTypes, icoSizes, linuxSizes } from '../../build/icons.ts';
import { inspect } from '../../build/packed.ts';

const root = path.join(import.meta.dirname, '../..');
const folder = mkdtempSync(path.join(tmpdir(), 'protagonist-build-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const quiet = { isEnabled: false, add: () => undefined } as unknown as Parameters<typeof validateConfiguration>[1];

/** The start of a program: ELF, PE or Mach-O, for one processor. */
function program(platform: 'linux' | 'win32' | 'darwin', arch: 'x64' | 'arm64', ...content: readonly (string | Uint8Array)[]): Buffer {
  const head = Buffer.alloc(1024);
  if (platform === 'linux') {
    head.write('\x7fELF', 'latin1');
    head.writeUInt16LE(arch === 'x64' ? 62 : 183, 18);
  } else if (platform === 'darwin') {
    head.writeUInt32LE(0xfeed_facf);
    head.writeUInt32LE(arch === 'x64' ? 0x0100_0007 : 0x0100_000c, 4);
  } else {
    head.write('MZ', 'latin1');
    head.writeUInt32LE(128, 0x3c);
    head.write('PE\0\0', 128, 'latin1');
    head.writeUInt16LE(arch === 'x64' ? 0x8664 : 0xaa64, 132);
  }
  return Buffer.concat([head, ...content.map(piece => Buffer.from(piece))]);
}

/** Writes files into a folder of their own. */
function files(name: string, content: Readonly<Record<string, string | Uint8Array>>): string {
  for (const [file, bytes] of Object.entries(content)) {
    mkdirSync(path.dirname(path.join(folder, name, file)), { recursive: true });
    writeFileSync(path.join(folder, name, file), bytes);
  }
  return path.join(folder, name);
}

const tools = files('tools', { ffmpeg: program('linux', 'x64'), 'ffmpeg.LICENSE': 'GPL', 'ffmpeg.SOURCE': 'ffmpeg.org' });
const made = (): Configuration =>
  configuration({
    program: path.join(tools, 'ffmpeg'),
    licence: path.join(tools, 'ffmpeg.LICENSE'),
    source: path.join(tools, 'ffmpeg.SOURCE'),
    notes: undefined,
    binary: { platform: 'linux', archs: ['x64'] },
  });

/** A configuration with something changed in it, of whatever shape. */
type Loose = Record<string, unknown>;
function changed(change: (config: Loose) => void): Configuration {
  const config = made() as unknown as Loose;
  change(config);
  return config;
}
const at = (config: Loose, key: string): Loose => config[key] as Loose;
const drop = (config: Loose, key: string, pattern: string): void => {
  const all = config[key] as string[];
  assert.ok(all.includes(pattern), `${pattern} is not there to be left out`);
  config[key] = all.filter(one => one !== pattern);
};

describe('the configuration', () => {
  test('is accepted by the schema and by our checks', async () => {
    await validateConfiguration(made(), quiet);
    assert.deepEqual(checkConfig(made()), []);
  });

  test('is loaded by electron-builder itself, and says what is not built yet', async () => {
    const before = process.env['FFMPEG_BIN'];
    process.env['FFMPEG_BIN'] = path.join(tools, 'ffmpeg');
    try {
      const config = await getConfig(root, 'build/electron-builder.config.ts', null).catch((error: unknown) => error);
      if (!(config instanceof Error)) return assert.equal((config as Configuration).appId, made().appId);
      for (const line of config.message.split('\n')) assert.match(line, /is not there: run `npm run build` first\.$/);
    } finally {
      if (before === undefined) delete process.env['FFMPEG_BIN'];
      else process.env['FFMPEG_BIN'] = before;
    }
  });

  const bySchema: Readonly<Record<string, (config: Loose) => void>> = {
    'a misspelt key': config => (config['asarUnpak'] = []),
    'a misspelt key of a platform': config => (at(config, 'linux')['excutableName'] = 'protagonist'),
    'a misspelt key of an installer': config => (at(config, 'nsis')['perMashine'] = false),
    'an unknown fuse': config => (config['electronFuses'] = { runAsNode: false, wasmTrapHandlers: true }),
    'a fuse that is not a boolean': config => (config['electronFuses'] = { runAsNode: 'off' }),
    'an unknown toolset': config => (config['toolsets'] = { appimage: '9.9.9' }),
    'a misspelt toolset': config => (config['toolsets'] = { appImage: '1.0.3' }),
    'no text for a name': config => (config['productName'] = {}),
    'neither yes nor no for the archive': config => (config['asar'] = 'maybe'),
    'a target that is not one': config => (at(config, 'mac')['target'] = [{ target: {} }]),
    'a processor that is not one': config => (at(config, 'linux')['target'] = [{ target: 'deb', arch: ['x65'] }]),
    'dependencies that are not a list': config => (at(config, 'deb')['depends'] = { libnss3: true }),
    'a resource that is not a path': config => (config['extraResources'] = [{ from: {}, to: 'x' }]),
    'the words of the next version': config => (config['asar'] = { unpack: ['**'] }),
    'a publisher that is not one': config => (config['publish'] = { provider: 7 }),
  };
  for (const [name, change] of Object.entries(bySchema))
    test(`${name} is refused by the schema`, () => assert.rejects(validateConfiguration(changed(change), quiet), /Invalid configuration/));

  const unpacked = made().asarUnpack as string[];
  /** What leaving a pattern out of those for beside the archive leaves inside it. */
  const inTheArchive = (pattern: string): RegExp =>
    new RegExp(
      `^${pattern
        .replace(/\/\*\*$/, '')
        .replace(/\{(\w+)[^}]*\}/, '$1')
        .replace(/\.ts$/, '')}.* stays inside the archive`,
      'm',
    );
  const foreignTo = (key: string, pattern: RegExp): ((config: Loose) => void) => {
    return config => {
      const all = at(config, key)['files'] as string[];
      assert.ok(all.some(one => pattern.test(one)));
      at(config, key)['files'] = all.filter(one => !pattern.test(one));
    };
  };
  const byUs: Readonly<Record<string, readonly [change: (config: Loose) => void, why: RegExp]>> = {
    ...Object.fromEntries(unpacked.map(pattern => [`${pattern} packed`, [c => drop(c, 'asarUnpack', pattern), inTheArchive(pattern)]])),
    'nothing beside the archive': [config => delete config['asarUnpack'], /onnxruntime-node\/package\.json stays inside/],
    'the toolset unset': [config => delete config['toolsets'], /--no-sandbox/],
    'the old toolset': [config => (config['toolsets'] = { appimage: '0.0.0' }), /--no-sandbox/],
    'a publisher': [config => (config['publish'] = { provider: 'generic', url: 'https://example.org' }), /publish has to be null/],
    'the publisher unset': [config => delete config['publish'], /publish has to be null/],
    'a publisher of one platform': [config => (at(config, 'win')['publish'] = ['github']), /win\.publish has to be unset/],
    'fuses of electron-builder': [config => (config['electronFuses'] = { runAsNode: true }), /electronFuses has to be unset/],
    'no hook': [config => delete config['afterPack'], /afterPack has to be the hook/],
    'another hook': [config => (config['afterPack'] = './build/other.js'), /afterPack has to be the hook/],
    'no archive': [config => (config['asar'] = false), /asar has to be true/],
    'an archive that is not verified': [config => (config['disableAsarIntegrity'] = true), /disableAsarIntegrity/],
    'a name with a space': [config => (config['productName'] = 'Prot agonist'), /without spaces/],
    'an id without a domain': [config => (config['appId'] = 'protagonist'), /appId has to be/],
    'a language less': [config => (config['electronLanguages'] = ['en', 'de']), /lacks ar/],
    'natives that are built': [config => delete config['npmRebuild'], /npmRebuild has to be false/],
    'an installer for everyone': [config => (at(config, 'nsis')['perMachine'] = true), /must not need an administrator/],
    'an installer that asks': [config => (at(config, 'nsis')['oneClick'] = false), /offers to install for everyone/],
    'an uninstaller that takes the library': [config => (at(config, 'nsis')['deleteAppDataOnUninstall'] = true), /library outlives/],
    'a deb that needs nothing': [config => (at(config, 'deb')['depends'] = []), /deb\.depends/],
    'a deb by nobody': [config => delete at(config, 'linux')['maintainer'], /linux\.maintainer/],
    'no deb': [config => (at(config, 'linux')['target'] = [{ target: 'AppImage', arch: ['x64'] }]), /linux has to be packed as deb/],
    'no zip': [config => (at(config, 'mac')['target'] = [{ target: 'dmg', arch: ['arm64'] }]), /mac has to be packed as zip/],
    'no processor': [config => (at(config, 'win')['target'] = ['nsis']), /for which processors nsis is/],
    'a Mac that ONNX Runtime has nothing for': [
      config => (at(config, 'mac')['target'] = ['dmg', 'zip'].map(target => ({ target, arch: ['x64'] }))),
      /napi-v6\/darwin\/x64 is not there/,
    ],
    'an icon that is not there': [config => (at(config, 'win')['icon'] = 'build/none.ico'), /has to name its icon/],
    'entitlements that are not there': [config => (at(config, 'mac')['entitlements'] = 'build/none.plist'), /none\.plist is not there/],
    'a file type of ours': [config => (config['fileAssociations'] = { ext: 'mp4' }), /fileAssociations has to be unset/],
    "no foreign ONNX Runtime's left out": [foreignTo('linux', /onnxruntime/), /onnxruntime-node.* is packed for linux on x64, where/],
    "no foreign sharp's left out": [foreignTo('win', /sharp-/), /@img\/sharp-darwin-arm64\S* would be packed for win32 on x64/],
    "no foreign koffi's left out": [foreignTo('mac', /koffi-/), /koffi-win32-x64\S* would be packed for darwin on arm64/],
    "musl's koffi": [foreignTo('linux', /musl/), /musl_x64\/koffi\.node is packed/],
    'a second ffmpeg': [foreignTo('linux', /ffmpeg/), /ffmpeg-static\/ffmpeg is packed for linux on x64, and should not be/],
    'one list for all, and exclusions of a platform': [
      config => {
        config['files'] = ['dist/app/**'];
        at(config, 'linux')['files'] = (at(config, 'linux')['files'] as string[]).filter(pattern => pattern.startsWith('!'));
      },
      /renderer\/App\.svelte is packed for linux/,
    ],
    'code left out': [config => drop(at(config, 'linux'), 'files', 'dist/app/**'), /dist\/app\/native-models\/tasks\.js is not packed/],
    'no ffmpeg': [
      config => (config['extraResources'] = (config['extraResources'] as Loose[]).filter(({ to }) => !String(to).startsWith('ffmpeg/f'))),
      /no clip could be written/,
    ],
    'no licence': [
      config => (config['extraResources'] = (config['extraResources'] as Loose[]).filter(({ to }) => to !== 'ffmpeg/LICENSE.txt')),
      /may not be given away/,
    ],
    'no word of its source': [
      config => (config['extraResources'] = (config['extraResources'] as Loose[]).filter(({ to }) => to !== 'ffmpeg/SOURCE.txt')),
      /without saying where its source is/,
    ],
    'the sources as well': [
      config => (at(config, 'mac')['files'] as string[]).push('electron/**'),
      /electron\/cli\.ts is packed for darwin/,
    ],
    'the window in the archive': [
      config => (at(config, 'win')['files'] as string[]).push('dist/renderer/**'),
      /dist\/renderer\/index\.html is packed for win32/,
    ],
    'the compiled shell left out': [
      config => (at(config, 'linux')['files'] as string[]).push('!dist/app/electron/shell{,/**}'),
      /dist\/app\/electron\/shell\/preload\.cjs is not packed for linux/,
    ],
    ...Object.fromEntries(
      ['zod', 'ws', 'sharp'].map(name => [
        `${name} left out`,
        [
          (config: Loose) => (at(config, 'linux')['files'] as string[]).push(`!node_modules/${name}{,/**}`),
          new RegExp(`node_modules/${name}/package\\.json is not packed for linux`),
        ],
      ]),
    ),
    'the pages of the headless host left out': [
      config => (at(config, 'linux')['files'] as string[]).push('!**/*.html'),
      /dist\/app\/electron\/serve\/pages\/index\.html is not packed/,
    ],
    'a resource that is not there': [
      config => (config['extraResources'] as Loose[]).push({ from: 'assets/none', to: 'none' }),
      /The resource assets\/none is not there/,
    ],
    ...Object.fromEntries(
      ['LICENSE.txt', 'assets', 'renderer'].map(to => [
        `${to} left out`,
        [
          (config: Loose) => (config['extraResources'] = (config['extraResources'] as Loose[]).filter(resource => resource['to'] !== to)),
          new RegExp(`No resource goes to ${to}`),
        ],
      ]),
    ),
  };
  test('what the schema does not know is refused by our checks, each with its sentence', () => {
    for (const [name, [change, why]] of Object.entries(byUs)) assert.match(checkConfig(changed(change)).join('\n'), why, name);
    console.log(`${Object.keys(bySchema).length + Object.keys(byUs).length} wrong configurations refused`);
  });
});

describe('fuses', () => {
  const sentinel = 'dL7pKGdnNz796PbbjQWNKmHXBZaB9tsX';
  /** A program as Electron comes, with its fuses somewhere in it. */
  const binary = (name: string, wire: string): string =>
    path.join(
      files('fuses', { [name]: program('linux', 'x64', Buffer.alloc(70_000, 7), sentinel, Buffer.from([1, wire.length]), wire, 'x') }),
      name,
    );

  test('are set and read back, nine of nine, and nothing else is changed', async () => {
    const file = binary('nine', '101100011');
    const before = readFileSync(file);
    await setFuses(file);
    const now = readFileSync(file);
    const begin = before.indexOf(sentinel) + sentinel.length + 2;
    assert.equal(now.subarray(begin, begin + 9).toString(), '010011001');
    now.set(before.subarray(begin, begin + 9), begin);
    assert.deepEqual(now, before);
    const { version, ...wire } = await getCurrentFuseWire(file);
    assert.equal(version, '1');
    assert.equal(Object.values(wire).filter(state => state === FuseState.ENABLE).length, 4);
  });

  test('other than ours are refused, and the program is left as it was', async () => {
    for (const [name, wire, why] of [
      ['ten', '1011000110', /10 fuses/],
      ['eight', '10110001', /not long enough/],
    ] as const) {
      const file = binary(name, wire);
      const before = readFileSync(file);
      await assert.rejects(setFuses(file), why);
      assert.deepEqual(readFileSync(file), before);
    }
    await assert.rejects(setFuses(path.join(tools, 'ffmpeg')), /Could not find sentinel/);
    await assert.rejects(setFuses(path.join(folder, 'none')), /ENOENT/);
  });

  test('each stands as it should, and would be refused the other way round', () => {
    assert.deepEqual(checkFuses(fuses), []);
    for (const option of Object.values(FuseV1Options).filter(option => typeof option === 'number')) {
      const [sentence, ...more] = checkFuses({ ...fuses, [option]: !fuses[option] });
      assert.match(sentence!, new RegExp(`The fuse ${FuseV1Options[option]} has to be`));
      assert.deepEqual(more, []);
    }
    assert.match(checkFuses({ ...fuses, strictlyRequireAllFuses: false }).join(), /strictlyRequireAllFuses/);
  });
});

describe('ffmpeg', () => {
  const none = path.join(folder, 'nothing');
  const refuses = (env: Readonly<Record<string, string>>, why: RegExp, where = none): void =>
    assert.throws(
      () => findFfmpeg(env, where),
      (error: unknown) => error instanceof FfmpegMissing && why.test(error.message) && /^[^\n]+\.$/.test(error.message),
    );

  test('is the one that FFMPEG_BIN names, else ffmpeg-static, with its licence and notes', () => {
    const named = files('named', { 'ffmpeg.exe': program('win32', 'x64'), 'GPLv3.txt': 'GPL', 'readme.txt': 'of 2026', 'Source.txt': 'x' });
    const downloaded = files('downloaded', {
      ffmpeg: program('darwin', 'arm64'),
      'ffmpeg.LICENSE': 'GPL',
      'ffmpeg.README': 'b6',
      LICENSE: 'MIT',
    });
    assert.deepEqual(findFfmpeg({ FFMPEG_BIN: path.join(named, 'ffmpeg.exe') }, downloaded), {
      program: path.join(named, 'ffmpeg.exe'),
      licence: path.join(named, 'GPLv3.txt'),
      source: path.join(named, 'Source.txt'),
      notes: path.join(named, 'readme.txt'),
      binary: { platform: 'win32', archs: ['x64'] },
    });
    assert.deepEqual(findFfmpeg({}, downloaded), {
      program: path.join(downloaded, 'ffmpeg'),
      licence: path.join(downloaded, 'ffmpeg.LICENSE'),
      source: path.join(root, 'build/ffmpeg-static.SOURCE.txt'),
      notes: path.join(downloaded, 'ffmpeg.README'),
      binary: { platform: 'darwin', archs: ['arm64'] },
    });
    assert.equal(findFfmpeg({ FFMPEG_LICENSE: path.join(named, 'GPLv3.txt') }, downloaded).licence, path.join(named, 'GPLv3.txt'));
  });

  test('is refused in one sentence where it is not there, not whole or not to be given away', () => {
    const bare = files('bare', { ffmpeg: program('linux', 'x64'), script: `#!/bin/sh\n${'x'.repeat(2000)}` });
    const debian = files('debian', { ffmpeg: program('linux', 'x64', 'libm.so.6\0libavcodec.so.59\0'), LICENSE: 'GPL' });
    refuses({}, /There is no ffmpeg to pack/);
    refuses({ FFMPEG_BIN: path.join(bare, 'none') }, /where there is no file/);
    refuses({ FFMPEG_BIN: path.join(bare, 'script') }, /is not a program/);
    refuses({ FFMPEG_BIN: path.join(bare, 'ffmpeg') }, /There is no licence beside/);
    refuses({}, /There is no licence beside/, bare);
    refuses({ FFMPEG_BIN: path.join(bare, 'ffmpeg'), FFMPEG_LICENSE: path.join(bare, 'none') }, /FFMPEG_LICENSE names/);
    const licensed = files('licensed', { ffmpeg: program('linux', 'x64'), LICENSE: 'GPL' });
    refuses({ FFMPEG_BIN: path.join(licensed, 'ffmpeg') }, /Nothing says where the source of .* name a text that does in FFMPEG_SOURCE/);
    refuses(
      { FFMPEG_BIN: path.join(licensed, 'ffmpeg'), FFMPEG_SOURCE: path.join(bare, 'none') },
      /FFMPEG_SOURCE names .*, where there is no file/,
    );
    refuses({ FFMPEG_BIN: path.join(debian, 'ffmpeg') }, /needs libavcodec\.so, which would not be in the package/);
  });
});

test('machine code is known by its first bytes', () => {
  const here = binaryOf(readHead(process.execPath))!;
  assert.ok(runsOn(here, process.platform, process.arch));
  assert.deepEqual(binaryOf(program('linux', 'arm64')), { platform: 'linux', archs: ['arm64'] });
  const fat = Buffer.alloc(64);
  fat.writeUInt32BE(0xcafe_babe);
  fat.writeUInt32BE(2, 4);
  fat.writeUInt32BE(0x0100_0007, 8);
  fat.writeUInt32BE(0x0100_000c, 28);
  assert.deepEqual(binaryOf(fat), { platform: 'darwin', archs: ['x64', 'arm64'] });
  fat.writeUInt32BE(65, 4); // a class of Java 21
  assert.equal(binaryOf(fat), undefined);
  for (const bytes of ['', 'MZ', 'x'.repeat(64), `MZ${'\xff'.repeat(100)}`, '{"type":"module"}'.repeat(9)])
    assert.equal(binaryOf(Buffer.from(bytes, 'latin1')), undefined);
});

describe('what was packed', () => {
  /** An archive of these files; those without content lie beside it. */
  function asar(content: Readonly<Record<string, Uint8Array | undefined>>): Buffer {
    const table: Loose = {};
    let offset = 0;
    for (const [file, bytes] of Object.entries(content)) {
      const names = file.split('/');
      const last = names.pop()!;
      let here = table;
      for (const name of names) here = ((here[name] ??= { files: {} }) as Loose)['files'] as Loose;
      here[last] = bytes ? { size: bytes.length, offset: String(offset) } : { size: 1, unpacked: true };
      offset += bytes?.length ?? 0;
    }
    const json = Buffer.from(JSON.stringify({ files: table }));
    const padded = Math.ceil(json.length / 4) * 4;
    const head = Buffer.alloc(16 + padded);
    for (const [i, value] of [4, padded + 8, padded + 4, json.length].entries()) head.writeUInt32LE(value, i * 4);
    head.set(json, 16);
    return Buffer.concat([head, ...Object.values(content).filter(bytes => bytes !== undefined)]);
  }
  const text = Buffer.from('x'.repeat(100));
  const natives = [
    'onnxruntime-node/bin/napi-v6/linux/x64/onnxruntime_binding.node',
    '@img/sharp-linux-x64/s.node',
    '@koromix/koffi-linux-x64/k.node',
  ];
  const engine = Buffer.from(`import { z } from "zod";\nconst late = await import('node:fs');\n`);
  const archive = {
    'package.json': text,
    'dist/app/package.json': text,
    'dist/app/electron/shell/main.js': Buffer.from("import * as electron from 'electron';\nimport { run } from '../engine/main.js';\n"),
    'dist/app/electron/shell/preload.cjs': text,
    'dist/app/electron/engine/main.js': engine,
    'dist/app/electron/protagonist.js': text,
    'build/icons/64x64.png': text,
    'node_modules/zod/package.json': text,
    'node_modules/zod/index.js': text,
    ...Object.fromEntries(natives.map(name => [`node_modules/${name}`, undefined])),
  };
  const resources = {
    'app.asar': asar(archive),
    ...Object.fromEntries(natives.map(name => [`app.asar.unpacked/node_modules/${name}`, program('linux', 'x64')])),
    'assets/checkpoints.json': '{}',
    'assets/toybox/model_index.json': '{}',
    'assets/toybox/photos/samples.json': '{}',
    'renderer/index.html': '',
    'renderer/licences.txt': 'MIT',
    'ffmpeg/ffmpeg': program('linux', 'x64'),
    'ffmpeg/LICENSE.txt': 'GPL',
    'ffmpeg/SOURCE.txt': 'ffmpeg.org',
    'LICENSE.txt': 'Apache',
  };
  /** As the hook leaves it. */
  const packed = (name: string, content: Readonly<Record<string, string | Uint8Array>>): string => {
    const at = files(name, content);
    layBeside(at);
    return at;
  };

  test('is listed with its machine code and what each part weighs', () => {
    const { wrong, natives: found, parts } = inspect(packed('packed', resources), 'linux', 'x64');
    assert.deepEqual(wrong, []);
    assert.equal(found.length, 4);
    assert.ok(parts.some(([name, bytes]) => name === 'app.asar.unpacked/node_modules/@koromix/koffi-linux-x64' && bytes === 1024));
  });

  test('has beside its archive what runs without it, the same bytes, and of the shell only how a process begins', () => {
    const at = packed('beside', resources);
    assert.deepEqual(readFileSync(path.join(at, 'app.asar.unpacked/dist/app/electron/engine/main.js')), engine);
    assert.ok(!existsSync(path.join(at, 'app.asar.unpacked/dist/app/electron/shell/main.js')));
    assert.ok(!existsSync(path.join(at, 'app.asar.unpacked/package.json')));
    assert.ok(liesBeside('dist/app/electron/shell/child.js') && liesBeside('dist/app/electron/serve/pages/door.js'));
    assert.ok(!liesBeside('dist/app/electron/shell/preload.cjs') && !liesBeside('node_modules/electron-updater/package.json'));
    const cut = files('cut', { ...resources, 'app.asar': resources['app.asar'].subarray(0, -50) });
    assert.throws(() => layBeside(cut), /app\.asar ends within node_modules\/zod\/index\.js\.$/);
  });

  test('is refused where what code imports is not beside it', () => {
    const one = packed('imports', {
      ...resources,
      'app.asar': asar({ ...archive, 'dist/app/electron/cli.js': Buffer.from(`export * from './gone.js';\nrequire('absent/sub');`) }),
    });
    rmSync(path.join(one, 'app.asar.unpacked/node_modules/zod'), { recursive: true });
    assert.deepEqual(inspect(one, 'linux', 'x64').wrong.toSorted(), [
      'dist/app/electron/cli.js imports ./gone.js, which is not beside the archive.',
      'dist/app/electron/cli.js imports ./gone.js, which is not in the archive.',
      'dist/app/electron/cli.js imports absent/sub, which is not beside the archive.',
      'dist/app/electron/cli.js imports absent/sub, which is not in the archive.',
      'dist/app/electron/engine/main.js imports zod, which is not beside the archive.',
    ]);
  });

  test('is refused where machine code is foreign, inside the archive or missing, or a part is not there', () => {
    const { wrong } = inspect(
      packed('wrong', {
        ...Object.fromEntries(Object.entries(resources).filter(([file]) => !file.startsWith('renderer/') && !file.includes('sharp'))),
        'app.asar': asar({ ...archive, 'node_modules/inside.node': program('linux', 'x64'), 'gone.js': undefined }),
        'ffmpeg/ffmpeg': program('darwin', 'arm64'),
      }),
      'linux',
      'x64',
    );
    for (const why of [
      /^ffmpeg\/ffmpeg is for darwin on arm64, in a package for linux on x64\.$/,
      /^renderer\/index\.html is missing\.$/,
      /^node_modules\/inside\.node is machine code inside the archive\.$/,
      /^gone\.js is neither in the archive nor beside it\.$/,
      /^sharp-linux-x64 is missing/,
    ])
      assert.ok(
        wrong.some(sentence => why.test(sentence)),
        `${String(why)} among ${wrong.join('\n')}`,
      );
    assert.equal(wrong.length, 7); // so are the licences; sharp's file is not beside the archive either
    assert.match(inspect(files('empty', { x: '' }), 'win32', 'x64').wrong.join('\n'), /ffmpeg\.exe is missing/);
  });
});

describe('icons', () => {
  const drawing = readFileSync(path.join(root, 'build/icon.svg'), 'utf8');
  const build = (file: string): Buffer => readFileSync(path.join(root, 'build', file));
  const side = async (png: Buffer): Promise<number | undefined> => {
    const { format, width, height } = await sharp(png).metadata();
    return format === 'png' && width === height ? width : undefined;
  };

  test('are drawn from icon.svg, in every size', async () => {
    assert.equal(await side(build('icon.png')), 1024);
    for (const size of linuxSizes) assert.equal(await side(build(`icons/${size}x${size}.png`)), size);
    for (const [file, size, air] of [['icons/256x256.png', 256, 'little'] as const, ['icons/32x32.png', 32, 'little'] as const]) {
      const [packed, drawn] = await Promise.all([build(file), await draw(drawing, size, air)].map(png => sharp(png).raw().toBuffer()));
      const difference = packed!.reduce((sum, value, i) => sum + Math.abs(value - drawn![i]!), 0) / packed!.length;
      assert.ok(difference < 1, `${file} differs from icon.svg by ${difference} a channel: node build/icons.ts`);
      assert.equal(packed![3], 0); // its corner is air
    }
  });

  test('are whole in the containers of Windows and macOS', async () => {
    const ico = build('icon.ico');
    assert.deepEqual([ico.readUInt16LE(0), ico.readUInt16LE(2), ico.readUInt16LE(4)], [0, 1, icoSizes.length]);
    let end = 6 + icoSizes.length * 16;
    for (const [i, size] of icoSizes.entries()) {
      const entry = 6 + i * 16;
      const [length, begin] = [ico.readUInt32LE(entry + 8), ico.readUInt32LE(entry + 12)];
      assert.deepEqual([ico.readUInt8(entry), begin, await side(ico.subarray(begin, begin + length))], [size % 256, end, size]);
      end += length;
    }
    assert.equal(end, ico.length);

    const icns = build('icon.icns');
    assert.equal(icns.toString('latin1', 0, 4), 'icns');
    assert.equal(icns.readUInt32BE(4), icns.length);
    let begin = 8;
    for (const [type, size] of icnsTypes) {
      const length = icns.readUInt32BE(begin + 4);
      assert.deepEqual([icns.toString('latin1', begin, begin + 4), await side(icns.subarray(begin + 8, begin + length))], [type, size]);
      begin += length;
    }
    assert.equal(begin, icns.length);
  });
});

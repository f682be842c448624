/**
 * @file What electron-builder packs, and how: `electron-builder --config build/electron-builder.config.ts`.
 *
 * The main side, compiled (`app.ts`), lies in the archive, whose content is verified on macOS and Windows. Packages with machine code lie
 * beside it, since the system's loader knows no archives; so does a copy of the code that runs as a process of its own or by a plain Node
 * (`beside.ts`). The window, Toybox and ffmpeg are resources: they are read by path, and so is nothing of them in the archive.
 */
import type { Configuration } from 'electron-builder';
import path from 'node:path';
import { afterPack, fuses } from './after-pack.ts';
import type { Platform } from './binaries.ts';
import { checkConfig, checkFuses } from './check.ts';
import { findFfmpeg, type PackedFfmpeg } from './ffmpeg.ts';

/**
 * What lies in the archive and beside it. Each platform has the whole list: electron-builder takes one that only excludes for "everything but
 * that", whatever the list for all platforms says. `${arch}` is electron-builder's, and named as Node does.
 */
const filesFor = (platform: Platform): string[] => [
  'dist/app/**',
  'build/icons/64x64.png', // what a dragged clip looks like
  '!**/*.map',
  '!**/*.{ts,cts,mts,cc,hh,inc}', // types and sources of packages
  '!node_modules/koffi/{doc,lib,vendor}{,/**}',
  '!node_modules/libheif-js/libheif{,/**}',
  '!node_modules/sharp/{install,src}{,/**}',
  '!node_modules/zod/src{,/**}',
  // ffmpeg is a resource
  '!node_modules/ffmpeg-static{,/**}',
  '!node_modules/@ffmpeg-installer{,/**}',
  // packages with binaries for many machines
  `!node_modules/onnxruntime-node/bin/*/!(${platform}){,/**}`,
  `!node_modules/onnxruntime-node/bin/*/${platform}/!(\${arch}){,/**}`,
  `!node_modules/@img/sharp-!(${platform}-\${arch}|libvips-${platform}-\${arch}){,/**}`,
  `!node_modules/@koromix/koffi-!(${platform}-\${arch}){,/**}`,
  '!node_modules/@koromix/*/musl_*{,/**}',
];

/** The configuration that packs this ffmpeg. */
export function configuration(ffmpeg: PackedFfmpeg): Configuration {
  return {
    appId: 'org.protagonist.Protagonist',
    productName: 'Protagonist', // no spaces: Electron has crashed on them
    copyright: 'Copyright © 2026 the Protagonist maintainers',
    directories: { output: 'release', buildResources: 'build' },
    artifactName: '${productName}-${version}-${os}-${arch}.${ext}',
    npmRebuild: false, // all of our natives come built
    publish: null,
    extraMetadata: { desktopName: 'protagonist.desktop' },
    electronLanguages: ['en', 'de', 'ar'],
    afterPack,

    asar: true,
    asarUnpack: [
      'node_modules/onnxruntime-node/**',
      'node_modules/onnxruntime-common/**',
      'node_modules/koffi/**',
      'node_modules/@koromix/**',
      'node_modules/sharp/**',
      'node_modules/@img/**',
      'node_modules/{detect-libc,semver}/**', // of sharp
      'node_modules/libheif-js/**',
      'node_modules/@techstark/opencv-js/**',
      // a program cannot be started from inside the archive, were these packed after all
      'node_modules/ffmpeg-static/**',
      'node_modules/@ffmpeg-installer/**',
    ],
    extraResources: [
      { from: 'assets', to: 'assets', filter: ['checkpoints.json', 'toybox/**', '!toybox/make{,/**}'] },
      { from: 'dist/renderer', to: 'renderer' },
      { from: 'LICENSE', to: 'LICENSE.txt' },
      {
        from: ffmpeg.program,
        to: `ffmpeg/ffmpeg${path.extname(ffmpeg.program) === '.exe' || ffmpeg.binary.platform === 'win32' ? '.exe' : ''}`,
      },
      { from: ffmpeg.licence, to: 'ffmpeg/LICENSE.txt' },
      { from: ffmpeg.source, to: 'ffmpeg/SOURCE.txt' },
      ...(ffmpeg.notes === undefined ? [] : [{ from: ffmpeg.notes, to: 'ffmpeg/README.txt' }]),
    ],

    linux: {
      target: [
        { target: 'AppImage', arch: ['x64'] },
        { target: 'deb', arch: ['x64'] },
      ],
      files: filesFor('linux'),
      executableName: 'protagonist',
      syncDesktopName: true,
      icon: 'icons',
      category: 'AudioVideo;Video;Graphics',
      synopsis: 'Photos of a subject and a sentence become a video clip',
      maintainer: 'Protagonist maintainers <maintainers@protagonist.invalid>',
    },
    // the default's launcher starts the app with --no-sandbox
    toolsets: { appimage: '1.0.3' },
    deb: {
      packageName: 'protagonist',
      packageCategory: 'video',
      depends: [
        'libasound2 | libasound2t64',
        'libatspi2.0-0 | libatspi2.0-0t64',
        'libdrm2',
        'libgbm1',
        'libgtk-3-0 | libgtk-3-0t64',
        'libnotify4',
        'libnss3',
        'libsecret-1-0', // without it secrets are kept for the session only
        'libuuid1',
        'libxss1',
        'libxtst6',
        'xdg-utils',
      ],
    },

    win: {
      target: [{ target: 'nsis', arch: ['x64'] }],
      files: filesFor('win32'),
      icon: 'build/icon.ico',
    },
    nsis: { oneClick: true, perMachine: false, packElevateHelper: false, deleteAppDataOnUninstall: false },

    mac: {
      // ONNX Runtime has nothing for Intel; updates are read from the zip
      target: [
        { target: 'dmg', arch: ['arm64'] },
        { target: 'zip', arch: ['arm64'] },
      ],
      files: filesFor('darwin'),
      icon: 'build/icon.icns',
      category: 'public.app-category.video',
      minimumSystemVersion: '13.0',
      hardenedRuntime: true,
      entitlements: 'build/entitlements.plist',
      entitlementsInherit: 'build/entitlements.plist',
    },
  };
}

/** What electron-builder asks for. @throws Error with a line for each thing that is wrong */
export default function pack(): Configuration {
  const config = configuration(findFfmpeg());
  const wrong = [...checkConfig(config, { built: true }), ...checkFuses(fuses)];
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
  return config;
}

/**
 * @file The one place where electron-updater is used: it puts a package in this program's place, as AppImage, NSIS and Squirrel want it done.
 * What there is to install it learns from our verified feed, and bytes it gets from us: made with an app adapter of ours it has no way of its own
 * into the network (its `httpExecutor` is null, and then ours), reads no `latest.yml` and quits nothing.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { AppUpdater, BaseUpdater, MacUpdater, UpdateInfo } from 'electron-updater';
import { UpdateRefused, type Kind, type Offer } from './feed.ts';
import type { Installer } from './updates.ts';

/** What of electron-updater is used, and nothing else. */
export type UpdaterUsed = Pick<
  AppUpdater,
  | 'autoDownload'
  | 'autoInstallOnAppQuit'
  | 'autoRunAppAfterInstall'
  | 'allowDowngrade'
  | 'allowPrerelease'
  | 'disableDifferentialDownload'
  | 'disableWebInstaller'
  | 'logger'
  | 'checkForUpdates'
  | 'downloadUpdate'
  | 'on'
> &
  Pick<MacUpdater, 'quitAndInstall'> &
  Partial<Pick<BaseUpdater, 'install'>>;
/** What electron-updater asks of the app, by its own type. */
type Adapter = NonNullable<ConstructorParameters<typeof MacUpdater>[1]>;
type Where = NonNullable<ConstructorParameters<typeof MacUpdater>[0]>;
export type MakeUpdater = (kind: Exclude<Kind, 'deb'>, where: Where, adapter: Adapter) => Promise<UpdaterUsed>;

/** electron-updater's own, loaded now. */
const real: MakeUpdater = async (kind, where, adapter) => {
  const { AppImageUpdater, MacUpdater, NsisUpdater } = await import('electron-updater');
  switch (kind) {
    case 'AppImage':
      return new AppImageUpdater(where, adapter);
    case 'nsis':
      return new NsisUpdater(where, adapter);
    case 'mac':
      return new MacUpdater(where, adapter);
  }
};

export interface UpdaterOptions {
  readonly kind: Kind;
  /** This program's. */
  readonly version: string;
  /** A folder for the package, and for what electron-updater writes down. */
  readonly folder: string;
  /** Electron's `app.isPackaged`. */
  readonly packaged: boolean;
  /** Only tests have one of their own. */
  readonly make?: MakeUpdater;
}

const untouched = (what: string) => (): never => {
  throw new Error(`electron-updater wants to ${what}, which it never has to`);
};

/** @throws UpdateRefused where packages of this kind are not replaced by us */
export async function openUpdater({ kind, version, folder, packaged, make = real }: UpdaterOptions): Promise<Installer> {
  if (kind === 'deb') throw new UpdateRefused('a .deb is updated by the package manager, or downloaded and installed by hand');
  let offered: Offer | undefined, // what our feed has
    bring: ((to: string) => Promise<void>) | undefined,
    quit = Promise.withResolvers<unknown>(), // it would end the app now
    failure: Error | undefined;

  // without what is deprecated, and read nowhere
  const infoOf = ({ version, file, size, sha512, released }: Offer) =>
    ({ version, files: [{ url: file, size, sha512 }], releaseDate: released }) as Partial<UpdateInfo> as UpdateInfo;
  /** Stands where electron-updater would ask a server. The host in its addresses is none: nothing is fetched by them. */
  class VerifiedFeed {
    readonly fileExtraDownloadHeaders = null;
    readonly isUseMultipleRangeRequest = false;
    setRequestHeaders(): void {} // there are no requests
    getLatestVersion(): Promise<UpdateInfo> {
      return offered ? Promise.resolve(infoOf(offered)) : Promise.reject(new Error('no feed was verified'));
    }
    resolveFiles({ files }: UpdateInfo) {
      return files.map(info => ({ url: new URL(info.url, 'https://verified.invalid/'), info }));
    }
    getBlockMapFiles = untouched('download parts of a package');
  }
  const updater = await make(
    kind,
    { provider: 'custom', updateProvider: VerifiedFeed },
    {
      version,
      name: 'protagonist',
      isPackaged: packaged,
      appUpdateConfigPath: join(import.meta.dirname, 'updater-config.json'),
      userDataPath: folder,
      baseCachePath: folder,
      whenReady: () => Promise.resolve(),
      relaunch: untouched('start the program anew'),
      quit: () => quit.resolve(undefined),
      onQuit: untouched('install when the program ends'),
    },
  );
  updater.autoDownload = false;
  updater.autoInstallOnAppQuit = false;
  updater.autoRunAppAfterInstall = false;
  updater.allowPrerelease = false;
  updater.allowDowngrade = false;
  updater.disableWebInstaller = true;
  updater.disableDifferentialDownload = true; // parts of packages are in no feed
  updater.logger = null;
  updater.on('error', error => (failure = error));
  Object.assign(updater, {
    httpExecutor: {
      download: async (_: URL, to: string) => {
        if (!bring) throw new Error('electron-updater downloads unasked');
        await rm(to, { force: true });
        await bring(to);
        return to;
      },
      downloadToBuffer: untouched('download parts of a package'),
      request: untouched('ask a server'),
    },
  });

  const whyNot = () => failure ?? new Error('it was not installed');
  return {
    take: async (offer, fetchPackage) => {
      offered = offer;
      bring = fetchPackage;
      try {
        const found = await updater.checkForUpdates();
        if (!found?.isUpdateAvailable || found.updateInfo.version !== offer.version)
          throw new UpdateRefused(`Protagonist ${offer.version} cannot take this one's place: install it by hand`);
        const files = await updater.downloadUpdate();
        if (files.length !== 1) throw new UpdateRefused(`Protagonist ${offer.version} came as ${files.length} files: install it by hand`);
        return files[0]!;
      } finally {
        bring = undefined;
      }
    },
    install: async () => {
      failure = undefined;
      if (kind !== 'mac') {
        if (!updater.install!(true, false)) throw whyNot();
        return;
      }
      // the system fetches it from this process, checks its signature, and puts it there when the process has ended
      quit = Promise.withResolvers();
      updater.on('error', error => quit.reject(error));
      updater.quitAndInstall();
      await quit.promise;
    },
  };
}

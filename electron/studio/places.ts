/**
 * @file Where a library may lie. Its database needs a disk of this machine: over a network, and under a program that copies files elsewhere while
 * they are written, SQLite loses rows or the whole file. What is known of a folder is gathered by one function and judged by another, so that
 * every system's cases can be tested on any.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { DatabaseError, diskError } from './database.ts';

type Environment = Readonly<Record<string, string | undefined>>;
const pathsOf = (platform: NodeJS.Platform) => (platform === 'win32' ? path.win32 : path.posix);

/**
 * The library's folder, absolute: PROTAGONIST_HOME, else the system's place for a program's data (XDG_DATA_HOME or ~/.local/share, ~/Library/Application
 * Support, %LOCALAPPDATA%). An empty variable counts as unset, and XDG_DATA_HOME must be absolute, as its standard says.
 */
export function libraryHome(env: Environment = process.env, platform: NodeJS.Platform = process.platform, home = homedir()): string {
  const at = pathsOf(platform);
  if (env['PROTAGONIST_HOME']) return at.resolve(env['PROTAGONIST_HOME']);
  if (platform === 'win32') return at.join(env['LOCALAPPDATA'] || at.join(home, 'AppData', 'Local'), 'Protagonist');
  if (platform === 'darwin') return at.join(home, 'Library', 'Application Support', 'Protagonist');
  const data = env['XDG_DATA_HOME'] ?? '';
  return at.join(at.isAbsolute(data) ? data : at.join(home, '.local', 'share'), 'protagonist');
}

/**
 * The folder for what belongs to this user and to no library, absolute: `protagonist` in XDG_CONFIG_HOME or ~/.config, `Protagonist` in
 * ~/Library/Preferences (XDG_CONFIG_HOME where it is set) or %APPDATA%.
 */
export function configHome(env: Environment = process.env, platform: NodeJS.Platform = process.platform, home = homedir()): string {
  const at = pathsOf(platform);
  if (platform === 'win32') return at.join(env['APPDATA'] || at.join(home, 'AppData', 'Roaming'), 'Protagonist');
  const config = env['XDG_CONFIG_HOME'] ?? '';
  if (at.isAbsolute(config)) return at.join(config, 'protagonist');
  return platform === 'darwin' ? at.join(home, 'Library', 'Preferences', 'Protagonist') : at.join(home, '.config', 'protagonist');
}

/** What is known of a folder. */
export interface PlaceFacts {
  readonly platform: NodeJS.Platform;
  /** The folder as it was given, and with every link followed; both absolute. */
  readonly paths: readonly string[];
  /** The type of the file system it lies on, as the system names it: `ext4`, `nfs4`, `fuse.sshfs`; undefined if it is not known. */
  readonly fileSystem: string | undefined;
  /** The folder and those above it, with what lies in each; directories end with `/`. */
  readonly above: readonly { readonly folder: string; readonly entries: readonly string[] }[];
  /** Folders that a program on this machine says it synchronises, by the program's name. */
  readonly synced: readonly { readonly by: string; readonly folder: string }[];
}

/** File systems of other machines, or of the machine around a virtual one: locks or shared memory do not hold there. */
const network = new Set(
  `nfs nfs3 nfs4 cifs smb smb2 smb3 smbfs 9p afs afpfs openafs webdav davfs ncpfs ncp coda ceph glusterfs lustre beegfs gpfs orangefs
  pvfs2 ocfs2 gfs gfs2 moosefs vboxsf vmhgfs prl_fs prl_fs_freeze drvfs fuse macfuse osxfuse`.split(/\s+/),
);
/** What FUSE offers that lies on a disk of this machine all the same. */
const localFuse = new Set(
  'fuseblk fuse.fuse-overlayfs fuse.mergerfs fuse.bindfs fuse.gocryptfs fuse.encfs fuse.cryfs fuse.ntfs fuse.ntfs-3g fuse.exfat fuse.ext2 fuse.lklfuse fuse.unionfs'.split(
    ' ',
  ),
);

/** Names in a folder that say what synchronises it. Dropbox keeps a file there; the folder of that name in a person's home is only its settings. */
const marks: readonly (readonly [RegExp, string])[] = [
  [/^\.dropbox$|^\.dropbox\.cache\/$/, 'Dropbox'],
  [/^\.tmp\.drive(?:up|down)load\/$/, 'Google Drive'],
  [/^\._?sync_[0-9a-f]+\.db$|^\.(?:owncloud|nextcloud)sync\.log$/, 'Nextcloud or ownCloud'],
  [/^\.stfolder(?:\/|$)/, 'Syncthing'],
  [/^\.sync\/(?:ID|Archive\/|IgnoreList|StreamsList)$/, 'Resilio Sync'],
  [/^\.megaignore$/, 'MEGA'],
];
/** Folders that are synchronised by what they are called, anywhere in a path; `/` between names. */
const names: readonly (readonly [RegExp, string])[] = [
  [/\/Library\/Mobile Documents(?:\/|$)|\/com~apple~CloudDocs(?:\/|$)|\/iCloudDrive(?:\/|$)/i, 'iCloud'],
  [/\/Library\/CloudStorage\/(?=OneDrive)|\/OneDrive(?: - [^/]+)?(?:\/|$)/i, 'OneDrive'],
  [/\/Library\/CloudStorage\/(?=GoogleDrive)|\/Google ?Drive(?:\/|$)|^[a-z]:\/My Drive(?:\/|$)/i, 'Google Drive'],
  [/\/Library\/CloudStorage\/(?=Dropbox)/i, 'Dropbox'],
  [/\/Library\/CloudStorage\//i, 'a cloud drive'],
];

/**
 * Whether a library may lie in a folder of which that much is known.
 * @returns undefined, or the sentence that refuses it
 */
export function judgePlace({ platform, paths, fileSystem, above, synced }: PlaceFacts): string | undefined {
  const shown = paths[0]!;
  const advice = 'choose a folder on a disk of this machine with --home or PROTAGONIST_HOME';
  const refuse = (why: string) => `the library cannot lie in ${shown}: ${why}; ${advice}`;
  const byNetwork = (what: string) => refuse(`that is ${what}, where its database could be damaged`);
  const bySync = (by: string, where: string) => refuse(`${by} synchronises ${where}, and would damage its database`);
  if (platform === 'win32')
    for (const given of paths) {
      const plain = given.replaceAll('/', '\\');
      if (/^\\\\(?![.?]\\)/.test(plain) || /^\\\\[.?]\\UNC\\/i.test(plain)) return byNetwork('a folder of another machine'); // also \\wsl$
    }
  const type = fileSystem?.toLowerCase();
  if (type !== undefined && !localFuse.has(type) && (network.has(type) || type.startsWith('fuse.')))
    return byNetwork(`a network or shared file system (${fileSystem!})`);
  for (const given of paths) {
    const plain = platform === 'win32' ? given.replace(/^\\\\[.?]\\/, '').replaceAll('\\', '/') : given;
    for (const [name, by] of names) {
      const found = name.exec(plain);
      if (found) return bySync(by, given.slice(0, given.length - plain.length + found.index + found[0].length).replace(/[/\\]$/, ''));
    }
    for (const { by, folder } of synced) {
      const inside = pathsOf(platform).relative(folder, given); // on Windows without regard to case
      if (!/^\.\.(?:[/\\]|$)/.test(inside) && !pathsOf(platform).isAbsolute(inside)) return bySync(by, folder);
    }
  }
  for (const { folder, entries } of above)
    for (const [mark, by] of marks) if (entries.some(entry => mark.test(entry))) return bySync(by, folder);
  return undefined;
}

/** The type of the file system a path lies on, by Linux's /proc/self/mountinfo; of several mounts at one point the last one counts. */
export function typeByMountinfo(mountinfo: string, folder: string): string | undefined {
  let longest = -1,
    type: string | undefined;
  for (const line of mountinfo.split('\n')) {
    const [left = '', right] = line.split(' - ');
    const point = left.split(' ')[4]?.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
    if (right === undefined || point === undefined || !isWithin(folder, point) || point.length < longest) continue;
    longest = point.length;
    type = right.split(' ')[0];
  }
  return type;
}
/** The same by what `mount` prints on a Mac: `//you@nas/share on /Volumes/share (smbfs, nodev)`. */
export function typeByMount(printed: string, folder: string): string | undefined {
  let longest = -1,
    type: string | undefined;
  for (const line of printed.split('\n')) {
    const [, point, kind] = /^.*? on (\/.*) \(([^,)]+)/.exec(line) ?? [];
    if (point === undefined || !isWithin(folder, point) || point.length < longest) continue;
    longest = point.length;
    type = kind;
  }
  return type;
}
const isWithin = (folder: string, point: string) => point === '/' || folder === point || folder.startsWith(`${point}/`);

function fileSystemOf(folder: string): string | undefined {
  try {
    if (process.platform === 'linux') return typeByMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'), folder);
    if (process.platform === 'darwin') return typeByMount(execFileSync('/sbin/mount', { encoding: 'utf8', timeout: 5000 }), folder);
  } catch {
    // not known
  }
  return undefined;
}

/** What programs on this machine say that they synchronise. */
function syncedFolders(env: Environment): { by: string; folder: string }[] {
  const found: { by: string; folder: string }[] = [];
  for (const name of ['OneDrive', 'OneDriveConsumer', 'OneDriveCommercial'])
    if (env[name]) found.push({ by: 'OneDrive', folder: env[name] });
  const settings = [
    path.join(homedir(), '.dropbox'),
    ...['APPDATA', 'LOCALAPPDATA'].flatMap(name => (env[name] ? [path.join(env[name], 'Dropbox')] : [])),
  ];
  for (const folder of settings)
    try {
      const accounts = JSON.parse(readFileSync(path.join(folder, 'info.json'), 'utf8')) as Record<string, { path?: unknown }>;
      for (const { path } of Object.values(accounts)) if (typeof path === 'string' && path) found.push({ by: 'Dropbox', folder: path });
    } catch {
      // no Dropbox, or none that says where
    }
  return found;
}

/** Gathers what is known of a folder, which need not exist yet: then of the nearest one above it that does. */
export function placeFacts(folder: string, env: Environment = process.env): PlaceFacts {
  const given = path.resolve(folder);
  let there = given;
  while (!statSync(there, { throwIfNoEntry: false }) && path.dirname(there) !== there) there = path.dirname(there);
  let real = there;
  try {
    real = realpathSync.native(there); // on Windows this shows the machine behind a drive's letter
  } catch {
    // judged by what was given
  }
  const above: { folder: string; entries: string[] }[] = [];
  for (let at = real; ; at = path.dirname(at)) {
    try {
      const entries = readdirSync(at, { withFileTypes: true }).flatMap(entry =>
        entry.name.startsWith('.') ? [entry.isDirectory() ? `${entry.name}/` : entry.name] : [],
      );
      if (entries.includes('.sync/'))
        entries.push(
          ...readdirSync(path.join(at, '.sync'), { withFileTypes: true }).map(e => `.sync/${e.name}${e.isDirectory() ? '/' : ''}`),
        );
      above.push({ folder: at, entries });
    } catch {
      // a folder that cannot be read says nothing
    }
    if (path.dirname(at) === at) break;
  }
  return {
    platform: process.platform,
    paths: [given, path.join(real, path.relative(there, given))],
    fileSystem: fileSystemOf(real),
    above,
    synced: syncedFolders(env),
  };
}

/**
 * Makes the library's folder, for its owner alone, if a library may lie there.
 * @throws DatabaseError `badPlace` with the sentence that refuses it; `readOnly`, `noSpace`, `disk` if it cannot be made
 */
export function checkPlace(folder: string, env: Environment = process.env): void {
  let refusal: string | undefined;
  try {
    refusal = judgePlace(placeFacts(folder, env));
    if (refusal === undefined) mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' || code === 'ENOTDIR')
      throw new DatabaseError('badPlace', `the library cannot lie in ${folder}: part of that path is a file, not a folder: choose another`);
    throw diskError(`the library's folder ${folder} cannot be made`, error);
  }
  if (refusal !== undefined) throw new DatabaseError('badPlace', refusal);
}

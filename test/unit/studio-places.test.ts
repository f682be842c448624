/** @file Where a library may lie: the judgement on every system, and the facts gathered from this one. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DatabaseError } from '../../electron/studio/database.ts';
import {
  checkPlace,
  judgePlace,
  libraryHome,
  placeFacts,
  typeByMount,
  typeByMountinfo,
  type PlaceFacts,
} from '../../electron/studio/places.ts';
import { cannotMount, mountTmpfs, unmount } from '../support/power.ts';

const root = mkdtempSync(join(tmpdir(), 'protagonist-places-'));
after(() => rmSync(root, { recursive: true, force: true }));

test('the default folder of each system; PROTAGONIST_HOME wins', () => {
  assert.equal(libraryHome({}, 'linux', '/home/ada'), '/home/ada/.local/share/protagonist');
  assert.equal(libraryHome({ XDG_DATA_HOME: '/data' }, 'linux', '/home/ada'), '/data/protagonist');
  assert.equal(libraryHome({ XDG_DATA_HOME: 'data' }, 'linux', '/home/ada'), '/home/ada/.local/share/protagonist');
  assert.equal(libraryHome({ XDG_DATA_HOME: '', PROTAGONIST_HOME: '' }, 'linux', '/home/ada'), '/home/ada/.local/share/protagonist');
  assert.equal(libraryHome({ XDG_DATA_HOME: '/data' }, 'darwin', '/Users/ada'), '/Users/ada/Library/Application Support/Protagonist');
  assert.equal(libraryHome({ LOCALAPPDATA: 'D:\\Local' }, 'win32', 'C:\\Users\\ada'), 'D:\\Local\\Protagonist');
  assert.equal(libraryHome({}, 'win32', 'C:\\Users\\ada'), 'C:\\Users\\ada\\AppData\\Local\\Protagonist');
  assert.equal(libraryHome({ PROTAGONIST_HOME: '/films', XDG_DATA_HOME: '/data' }, 'linux', '/home/ada'), '/films');
  assert.equal(libraryHome({ PROTAGONIST_HOME: 'films' }, 'linux', '/home/ada'), join(process.cwd(), 'films'));
  assert.equal(libraryHome({ PROTAGONIST_HOME: 'E:\\films' }, 'win32', 'C:\\Users\\ada'), 'E:\\films');
});

const place = (facts: Partial<PlaceFacts>): string | undefined =>
  judgePlace({ platform: 'linux', paths: ['/home/ada/films'], fileSystem: 'ext4', above: [], synced: [], ...facts });
const mac = (folder: string, facts: Partial<PlaceFacts> = {}) =>
  place({ platform: 'darwin', paths: [folder], fileSystem: 'apfs', ...facts });
const windows = (folder: string, facts: Partial<PlaceFacts> = {}) =>
  place({ platform: 'win32', paths: [folder], fileSystem: undefined, ...facts });
const within = (...entries: string[]) =>
  place({
    above: [
      { folder: '/home/ada/films', entries: [] },
      { folder: '/home/ada', entries },
    ],
  });

test('disks of this machine are taken', () => {
  for (const fileSystem of [
    'ext4',
    'btrfs',
    'xfs',
    'zfs',
    'f2fs',
    'tmpfs',
    'overlay',
    'fuseblk',
    'fuse.gocryptfs',
    'fuse.fuse-overlayfs',
    'vfat',
    'apfs',
    undefined,
  ])
    assert.equal(place({ fileSystem }), undefined, fileSystem);
  assert.equal(mac('/Users/ada/Library/Application Support/Protagonist'), undefined);
  assert.equal(mac('/Volumes/Disk/films'), undefined);
  for (const folder of ['C:\\Users\\ada\\AppData\\Local\\Protagonist', '\\\\?\\C:\\films', '\\\\.\\C:\\films', 'D:/films'])
    assert.equal(windows(folder), undefined, folder);
  // names that only look like it
  assert.equal(within('.dropbox/', '.config/', '.sync/', '.syncthing/', '.sync_notes.txt', '.stfolders'), undefined);
  assert.equal(place({ paths: ['/home/ada/OneDrives/films'] }), undefined);
  assert.equal(
    place({
      synced: [
        { by: 'Dropbox', folder: '/home/ada/film' },
        { by: 'Dropbox', folder: '/home/ada/films/..more' },
      ],
    }),
    undefined,
  );
});

test('network and shared file systems are refused', () => {
  for (const fileSystem of [
    'nfs',
    'nfs4',
    'cifs',
    'smb3',
    '9p',
    'afs',
    'ceph',
    'glusterfs',
    'lustre',
    'vboxsf',
    'fuse',
    'fuse.sshfs',
    'fuse.rclone',
    'fuse.s3fs',
    'fuse.gvfsd-fuse',
    'NFS4',
  ])
    assert.match(
      place({ fileSystem }) ?? '',
      /^the library cannot lie in \/home\/ada\/films: .*network or shared file system \(.*\).*PROTAGONIST_HOME$/,
      fileSystem,
    );
  for (const fileSystem of ['smbfs', 'nfs', 'afpfs', 'webdav', 'macfuse'])
    assert.match(mac('/Volumes/share/films', { fileSystem }) ?? '', /network/);
  for (const folder of [
    '\\\\nas\\share\\films',
    '//nas/share/films',
    '\\\\?\\UNC\\nas\\share',
    '\\\\wsl$\\Debian\\home',
    '\\\\wsl.localhost\\Debian',
  ])
    assert.match(windows(folder) ?? '', /another machine/, folder);
  assert.match(
    place({ platform: 'win32', paths: ['Z:\\films', '\\\\nas\\share\\films'] }) ?? '',
    /cannot lie in Z:\\films: .*another machine/,
  );
});

test('synchronised folders are refused, by their marks', () => {
  for (const [mark, by] of [
    ['.dropbox', 'Dropbox'],
    ['.dropbox.cache/', 'Dropbox'],
    ['.sync_0a1b2c3d4e5f.db', 'Nextcloud'],
    ['._sync_0a1b2c3d4e5f.db', 'ownCloud'],
    ['.owncloudsync.log', 'ownCloud'],
    ['.stfolder/', 'Syncthing'],
    ['.stfolder', 'Syncthing'],
    ['.sync/ID', 'Resilio'],
    ['.tmp.drivedownload/', 'Google Drive'],
    ['.megaignore', 'MEGA'],
  ] as const)
    assert.match(
      within(mark) ?? '',
      new RegExp(`^the library cannot lie in /home/ada/films: .*${by}.* synchronises /home/ada, and would damage`),
      mark,
    );
});

test('synchronised folders are refused, by their names and by what their programs say', () => {
  for (const [folder, by] of [
    ['/Users/ada/Library/Mobile Documents/com~apple~CloudDocs/films', 'iCloud'],
    ['/Users/ada/Library/CloudStorage/OneDrive-Personal/films', 'OneDrive'],
    ['/Users/ada/Library/CloudStorage/GoogleDrive-ada@example.org/My Drive', 'Google Drive'],
    ['/Users/ada/Library/CloudStorage/Dropbox/films', 'Dropbox'],
    ['/Users/ada/Library/CloudStorage/Box-Box/films', 'a cloud drive'],
    ['/Users/ada/Google Drive/films', 'Google Drive'],
  ] as const)
    assert.match(mac(folder) ?? '', new RegExp(`${by} synchronises /`), folder);
  assert.match(windows('C:\\Users\\ada\\OneDrive - Studio\\films') ?? '', /OneDrive synchronises C:\\Users\\ada\\OneDrive - Studio,/);
  assert.match(windows('C:\\Users\\ada\\iCloudDrive') ?? '', /iCloud/);
  assert.match(windows('G:\\My Drive\\films') ?? '', /Google Drive synchronises G:\\My Drive,/);
  assert.match(
    windows('c:\\users\\ada\\Cloud\\films', { synced: [{ by: 'OneDrive', folder: 'C:\\Users\\Ada\\Cloud' }] }) ?? '',
    /OneDrive/,
  );
  assert.match(place({ synced: [{ by: 'Dropbox', folder: '/home/ada' }] }) ?? '', /Dropbox synchronises \/home\/ada,/);
  assert.match(place({ synced: [{ by: 'Dropbox', folder: '/home/ada/films' }] }) ?? '', /Dropbox/);
});

test('the file system of a path, by /proc/self/mountinfo and by mount', () => {
  const mountinfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /mnt/the\\040nas rw,relatime - nfs4 nas:/films rw,vers=4.2
31 30 0:27 / /mnt/the\\040nas/local rw - xfs /dev/sdb1 rw
32 22 0:28 / /home rw - tmpfs tmpfs rw
33 22 0:29 / /home rw shared:9 master:2 - fuse.sshfs ada@host: rw
`;
  for (const [folder, type] of [
    ['/', 'ext4'],
    ['/mnt', 'ext4'],
    ['/mnt/the nas/films', 'nfs4'],
    ['/mnt/the nas', 'nfs4'],
    ['/mnt/the nasty', 'ext4'],
    ['/mnt/the nas/local/x', 'xfs'],
    ['/home/ada', 'fuse.sshfs'],
  ] as const)
    assert.equal(typeByMountinfo(mountinfo, folder), type, folder);
  const mount = `/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
//ada@nas/films on /Volumes/films on tour (smbfs, nodev, nosuid, mounted by ada)
`;
  assert.equal(typeByMount(mount, '/Users/ada'), 'apfs');
  assert.equal(typeByMount(mount, '/Volumes/films on tour/x'), 'smbfs');
});

const refused = (text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof DatabaseError && error.code === 'badPlace', String(error));
  assert.match(error.message, text);
  return true;
};
test('a folder here: made for its owner alone, or refused and not made', () => {
  const folder = join(root, 'new', 'library');
  checkPlace(folder, {});
  checkPlace(folder, {});
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  assert.equal(placeFacts(folder, {}).above[0]!.folder, folder);

  mkdirSync(join(root, 'cloud'));
  writeFileSync(join(root, 'cloud', '.dropbox'), '');
  symlinkSync(join(root, 'cloud'), join(root, 'link'));
  for (const name of ['cloud/films/library', 'link/library']) {
    assert.throws(() => checkPlace(join(root, name), {}), refused(/Dropbox synchronises .*cloud/));
    assert.equal(statSync(join(root, name), { throwIfNoEntry: false }), undefined);
  }
  mkdirSync(join(root, 'resilio', '.sync', 'Archive'), { recursive: true });
  assert.throws(() => checkPlace(join(root, 'resilio', 'library'), {}), refused(/Resilio/));
  assert.throws(() => checkPlace(join(root, 'elsewhere'), { OneDrive: root }), refused(/OneDrive/));
  writeFileSync(join(root, 'file'), '');
  assert.throws(() => checkPlace(join(root, 'file'), {}), refused(/a file, not a folder/));
  assert.throws(() => checkPlace(join(root, 'file', 'library'), {}), refused(/a file, not a folder/));
});

test('the file system of a real mount is seen', { skip: cannotMount() }, t => {
  const folder = join(root, 'mounted here');
  mkdirSync(folder);
  mountTmpfs(folder, '1m');
  t.after(() => unmount(folder));
  assert.equal(placeFacts(join(folder, 'not', 'yet'), {}).fileSystem, 'tmpfs');
  checkPlace(join(folder, 'library'), {});
});

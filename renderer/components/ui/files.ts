/** @file What was dropped, with folders opened. */
import type { Dropped } from './types.ts';

const byPath = new Intl.Collator(undefined, { numeric: true });
/** Whether a file is one of `image/*`, `video/mp4`, `.heic`; an empty list takes all. Browsers know no kind of some files, names decide then. */
export const isAccepted = ({ name, type = '' }: { readonly name: string; readonly type?: string }, accept: readonly string[]): boolean =>
  accept.length === 0 ||
  accept.some(one =>
    one.startsWith('.')
      ? name.toLowerCase().endsWith(one.toLowerCase())
      : one.endsWith('/*')
        ? type.startsWith(one.slice(0, -1))
        : type === one,
  );

async function open(entry: FileSystemEntry, found: Dropped[]): Promise<void> {
  if (entry.name.startsWith('.')) return; // .DS_Store and the like
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    found.push({ file, path: entry.fullPath.replace(/^\//, '') });
  } else if (entry.isDirectory) {
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    // it gives a hundred at a time, and none at the end
    for (;;) {
      const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
      if (some.length === 0) break;
      for (const one of some) await open(one, found);
    }
  }
}

/** All files of a drop, those of folders within folders too, in the order of their paths. A file that cannot be read is left out.
 * Call it in the event itself: afterwards a drop is empty. */
export async function filesOf({ items, files }: DataTransfer): Promise<Dropped[]> {
  const entries = [...items].map(item => item.webkitGetAsEntry()).filter(entry => entry !== null);
  const plain = [...files].map(file => ({ file, path: file.name }));
  if (entries.length === 0) return plain;
  const found: Dropped[] = [];
  for (const entry of entries) await open(entry, found).catch(() => undefined);
  return found.sort((a, b) => byPath.compare(a.path, b.path));
}

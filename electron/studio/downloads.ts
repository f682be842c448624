/**
 * @file Checkpoints from a hub that speaks Hugging Face's API. What is asked for is pinned to a commit before the first byte; every file is
 * resumed where it stands, whoever was killed in between, and held against the hub's own hash; the folder appears under its name only once all
 * of it is right.
 *
 * Beside the folder `F`, while it is on its way, lies `F.part`: `plan.json` (the commit, and each file with size and hash: written once),
 * `parts/N` (what has come of file N; its size is where it goes on), `parts/N.json` (the ETag of what is in it), `files/…` (verified, under
 * their names: what becomes `F`).
 */
import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { commitId, insidePath, repositoryName, revisionName, type CatalogueEntry } from '../contract/catalogue.ts';
import { StudioError } from '../contract/errors.ts';
import { fileError } from '../media/error.ts';
import { freeBytes, syncFolder, writeDurably } from '../media/files.ts';
import { NetworkError, type Network, type Reply } from './network.ts';

/** A checkpoint of the catalogue that lies on the hub. */
export type Downloadable = Extract<CatalogueEntry, { hub: unknown }>;

export interface FileProgress {
  readonly path: string;
  readonly size: number;
  /** That are on the disk. */
  readonly bytes: number;
  /** `checking`: what came in an earlier run is read again. */
  readonly state: 'waiting' | 'checking' | 'downloading' | 'done';
}
export interface DownloadProgress {
  /** `listing`: the hub is asked what there is. */
  readonly state: 'listing' | 'downloading' | 'done' | 'failed';
  readonly files: readonly FileProgress[];
  readonly bytes: number;
  readonly of: number;
  /** Bytes a second over the last ten seconds; undefined while there is nothing to go by. */
  readonly speed: number | undefined;
  readonly secondsLeft: number | undefined;
}
/** What has come, whole and verified. */
export interface Downloaded {
  readonly folder: string;
  readonly repository: string;
  readonly commit: string;
  readonly bytes: number;
}
export interface Download {
  /** Settles once nothing is written any more; what has come stays, however it ends.
   * @throws StudioError: `noSpace`, `disconnected`, `notFound`, `needsToken`, `badFile` (other bytes than the hub promises), `conflict`, `canceled`; MediaError: the disk */
  readonly done: Promise<Downloaded>;
  progress(): DownloadProgress;
}
export interface DownloadOptions {
  /** Where the checkpoint will lie: its parent is there already, it is not. */
  readonly folder: string;
  readonly network: Network;
  /** The name of the licence that a person has been shown and has accepted. */
  readonly accepted: string | undefined;
  /** Told at most five times a second, and of each change of state. */
  readonly on?: (progress: DownloadProgress) => void;
  /** Ends it, as the program's end would. */
  readonly signal?: AbortSignal;
  /** Files at the same time. */
  readonly parallel?: number;
  /** Bytes that stay free on the disk. */
  readonly reserve?: number;
  /** Fruitless attempts at one file before it is given up. */
  readonly attempts?: number;
  /** Milliseconds before the first further attempt; each later one waits twice as long, 30 seconds at most. */
  readonly patience?: number;
}

const hex40 = z.string().regex(/^[0-9a-f]{40}$/),
  hex64 = z.string().regex(/^[0-9a-f]{64}$/),
  size = z
    .int()
    .min(0)
    .max(2 ** 42);
/** A file as the hub has it at the pinned commit. */
const plannedFile = z.object({
  path: insidePath,
  size,
  /** Of its content: the hub's LFS id, or the catalogue's. */
  sha256: hex64.nullable(),
  /** Git's id of its content, where the hub keeps it in git itself. */
  blob: hex40.nullable(),
});
type PlannedFile = z.infer<typeof plannedFile>;
const plan = z.object({
  format: z.literal(1),
  repository: repositoryName,
  /** What was asked for: a commit or a branch. */
  revision: revisionName,
  commit: commitId,
  licence: z.object({ name: z.string(), link: z.string(), accepted: z.iso.datetime() }),
  files: z.array(plannedFile).min(1).max(200),
});
type Plan = z.infer<typeof plan>;

/** Written into the finished folder: what it is and where it came from. */
export const receiptName = 'protagonist-download.json';
/** While it is on its way. */
const partFolder = (folder: string): string => `${resolve(folder)}.part`;

/** An answer of the hub's revision API. */
const revisionReply = z.object({ sha: commitId });
/** And of its tree API, a page of it. Paths of files that nobody asked for may be anything. */
const treeReply = z.array(
  z.object({
    type: z.string(),
    path: z.string(),
    oid: z.string().optional(),
    size: z.number().optional(),
    lfs: z.object({ oid: z.string(), size: z.number() }).nullish(),
  }),
);

/** Folders of which this process is downloading something. */
const busy = new Set<string>();
/** Bytes between two looks at the free space, each with what was written so far on the disk for good. */
const between = 2 ** 28;

/** What lies on the disk of a download, by its own records. */
export interface OnDisk {
  readonly repository: string;
  /** What was asked for, and the commit that it meant. */
  readonly revision: string;
  readonly commit: string;
  /** The name of the licence that was accepted for it. */
  readonly accepted: string;
  readonly files: readonly FileProgress[];
  readonly bytes: number;
  readonly of: number;
}
const onDisk = ({ repository, revision, commit, licence, files: planned }: Plan, bytesOf: readonly number[]): OnDisk => {
  const files = planned.map(({ path, size }, n): FileProgress => {
    const bytes = bytesOf[n] ?? 0;
    return { path, size, bytes, state: bytes === size ? 'done' : 'waiting' };
  });
  const sum = (of: 'bytes' | 'size') => files.reduce((n, file) => n + file[of], 0);
  return { repository, revision, commit, accepted: licence.name, files, bytes: sum('bytes'), of: sum('size') };
};
/** What is known of an unfinished download at `folder`, without contacting anybody. */
export async function unfinished(folder: string): Promise<OnDisk | undefined> {
  const part = partFolder(folder),
    found = await readRecord(join(part, 'plan.json'), plan);
  return found && onDisk(found, await Promise.all(found.files.map((file, n) => bytesOf(part, n, file))));
}
/** What a finished download at `folder` says of itself; undefined where there is none, or no longer all of it. */
export async function finished(folder: string): Promise<OnDisk | undefined> {
  const found = await readRecord(join(folder, receiptName), plan);
  if (!found) return undefined;
  const sizes = await Promise.all(found.files.map(({ path }) => stat(join(folder, path)).then(file => file.size, () => -1))); // prettier-ignore
  return found.files.every(({ size }, n) => sizes[n] === size) ? onDisk(found, sizes) : undefined;
}

/**
 * Starts, or goes on with, a download. A folder that already holds this checkpoint, finished by an earlier one, is an answer at once.
 * @param entry what to download; files that its catalogue pins by SHA-256 have to have that content, whatever the hub says
 * @throws StudioError `needsConfirmation` where its licence was not accepted, `busy` where it is under way
 */
export function startDownload(entry: Downloadable, options: DownloadOptions): Download {
  const folder = resolve(options.folder),
    part = partFolder(folder);
  if (options.accepted !== entry.licence.name)
    throw new StudioError(
      'needsConfirmation',
      `${entry.name} comes under the ${entry.licence.name} (${entry.licence.link}): read and accept it first`,
    );
  if (busy.has(folder)) throw new StudioError('busy', `${entry.name} is being downloaded to ${folder} already: wait for it`);
  busy.add(folder);

  const meter = new Meter(options.on),
    signal = options.signal ?? new AbortController().signal;
  const carry = async (): Promise<Downloaded> => {
    try {
      const result = await download(entry, { folder, part, options, meter, signal });
      meter.become('done');
      return result;
    } catch (error) {
      meter.become('failed');
      throw signal.aborted ? new StudioError('canceled', `the download of ${entry.name} was stopped`) : error;
    } finally {
      busy.delete(folder);
    }
  };
  const done = carry();
  done.catch(() => undefined); // who listens to events only has heard of it
  return { done, progress: () => meter.show() };
}

interface Work {
  readonly folder: string;
  readonly part: string;
  readonly options: DownloadOptions;
  readonly meter: Meter;
  readonly signal: AbortSignal;
}

async function download(entry: Downloadable, work: Work): Promise<Downloaded> {
  const { folder, part, meter, signal, options } = work;
  const { repository, revision } = entry.hub;
  const result = ({ commit, files }: Plan): Downloaded => ({ folder, repository, commit, bytes: files.reduce((n, f) => n + f.size, 0) });
  const isSame = (known: Plan) => known.repository === repository && (known.revision === revision || known.commit === revision);

  const receipt = await readRecord(join(folder, receiptName), plan);
  if (receipt && isSame(receipt)) {
    for (const { path, size } of receipt.files)
      if ((await stat(join(folder, path)).catch(() => undefined))?.size !== size)
        throw new StudioError('conflict', `${path} in ${folder} is no longer what was downloaded: remove the folder and download it again`);
    meter.plan(receipt.files);
    receipt.files.forEach((file, n) => meter.set(n, 'done', file.size));
    await rm(part, { recursive: true, force: true }); // its owner died between the two
    return result(receipt);
  }
  const there = await readdir(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw fileError(`cannot download to ${folder}`, error);
  });
  if (there.length > 0) throw new StudioError('conflict', `${folder} holds something else already: move it away, then try again`);

  let planned = await readRecord(join(part, 'plan.json'), plan);
  if (planned && !isSame(planned))
    throw new StudioError('conflict', `a download of ${planned.repository} at ${planned.revision} is begun in ${part}: cancel it first`);
  try {
    if (!planned) {
      meter.become('listing');
      planned = await makePlan(entry, work);
      await rm(part, { recursive: true, force: true }); // without a plan nothing says what its bytes are
      await mkdir(part);
      await writeDurably(join(part, 'plan.json'), Buffer.from(JSON.stringify(planned, undefined, 1)));
    }
    await mkdir(join(part, 'parts'), { recursive: true });
    await mkdir(join(part, 'files'), { recursive: true });
  } catch (error) {
    throw asked(error, part);
  }
  meter.plan(planned.files);
  meter.become('downloading');
  for (const [n, file] of planned.files.entries()) meter.set(n, 'waiting', await bytesOf(part, n, file));
  await checkSpace(entry.name, work, planned).catch((error: unknown) => {
    throw asked(error, part);
  });

  // the largest first: the end is not one long file alone
  const { commit, files } = planned,
    order = files.map((_, n) => n).toSorted((a, b) => files[b]!.size - files[a]!.size);
  const halt = new AbortController(),
    each = { ...work, signal: AbortSignal.any([signal, halt.signal]) };
  const worker = async () => {
    for (let n = order.shift(); n !== undefined; n = order.shift()) await fetchFile(entry, commit, files[n]!, n, each);
  };
  const first = { error: undefined as unknown };
  await Promise.all(
    Array.from({ length: options.parallel ?? 3 }, () =>
      worker().catch((error: unknown) => {
        if (!halt.signal.aborted) first.error = error;
        halt.abort(error);
      }),
    ),
  );
  if (halt.signal.aborted) throw signal.aborted ? signal.reason : asked(first.error, part);
  signal.throwIfAborted();
  await publish(planned, work);
  return result(planned);
}

/** What went wrong with a file of `part`, as one sentence. */
const asked = (error: unknown, part: string): unknown =>
  error instanceof Error && 'syscall' in error ? fileError(`cannot write ${part}`, error) : error;

// What there is

/** Asks the hub which commit is meant and what it holds. @throws StudioError */
async function makePlan(entry: Downloadable, work: Work): Promise<Plan> {
  const { repository, revision, files: needed } = entry.hub;
  const api = `api/models/${repository}`;
  const { sha: commit } = parseReply(revisionReply, await askHub(entry, `${api}/revision/${encodeURIComponent(revision)}`, work));
  if (/^[0-9a-f]{40}$/.test(revision) && commit !== revision)
    throw new StudioError(
      'badFile',
      `the hub answers with commit ${commit} of ${repository} where ${revision} was asked for: choose another hub`,
    );
  const tree: z.infer<typeof treeReply> = [];
  let page: string | URL | undefined = `${api}/tree/${commit}?recursive=true`;
  for (let pages = 0; page !== undefined; pages++) {
    if (pages === 50) throw new StudioError('badFile', `the hub lists no end of files for ${repository}: choose another hub`);
    const answer: { text: string; next: URL | undefined } = await askHub(entry, page, work);
    tree.push(...parseReply(treeReply, answer));
    page = answer.next;
  }
  const found = new Map(tree.filter(f => f.type === 'file').map(f => [f.path, f]));
  const files = needed.flatMap(({ path, sha256, optional }): PlannedFile[] => {
    const there = found.get(path);
    if (!there) {
      if (optional) return [];
      throw new StudioError(
        'notFound',
        `${repository} has no ${path} at ${commit.slice(0, 8)}: it is not the checkpoint that is known under this name`,
      );
    }
    const file = plannedFile.safeParse(
      there.lfs
        ? { path, size: there.lfs.size, sha256: there.lfs.oid, blob: null }
        : { path, size: there.size, sha256: sha256 ?? null, blob: there.oid },
    );
    if (!file.success) throw new StudioError('badFile', `the hub does not say what ${path} of ${repository} has to be: choose another hub`);
    if (sha256 !== undefined && file.data.sha256 !== sha256)
      throw new StudioError(
        'badFile',
        `the hub offers another ${path} of ${repository} than the one that is known: nothing was downloaded`,
      );
    return [file.data];
  });
  return {
    format: 1,
    repository,
    revision,
    commit,
    licence: { name: entry.licence.name, link: entry.licence.link, accepted: new Date().toISOString() },
    files,
  };
}

function parseReply<S extends z.ZodType>(schema: S, { text }: { text: string }): z.output<S> {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new StudioError('disconnected', 'the hub answers in a way that is not understood: check HF_ENDPOINT, or try again later', {
      cause: error,
    });
  }
}

/** The text of an API's answer, asked for again where it does not come. */
async function askHub(
  entry: Downloadable,
  target: string | URL,
  { signal, options }: Work,
): Promise<{ text: string; next: URL | undefined }> {
  for (let fruitless = 0; ; fruitless++) {
    try {
      const reply = await options.network.get(target, { headers: { accept: 'application/json' }, signal });
      checkStatus(entry, reply, options.network, 'list of files');
      if (reply.status !== 200) throw refused(reply);
      const chunks: Buffer[] = [];
      let read = 0;
      for await (const chunk of reply.body) {
        if ((read += chunk.length) > 2 ** 24) throw new StudioError('badFile', 'the hub answers with more than 16 MiB: check HF_ENDPOINT');
        chunks.push(chunk);
      }
      const link = /<([^>]*)>\s*;\s*rel="?next"?/.exec(String(reply.headers['link'] ?? ''))?.[1];
      return {
        text: Buffer.concat(chunks).toString(),
        next: link !== undefined && URL.canParse(link, reply.url.href) ? new URL(link, reply.url) : undefined,
      };
    } catch (error) {
      await again(error, fruitless, options, signal);
    }
  }
}

/** Waits before another attempt; @throws what it was given, where there is none */
async function again(
  error: unknown,
  fruitless: number,
  { attempts = 8, patience = 500 }: DownloadOptions,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  if (!(error instanceof NetworkError) || !error.again || fruitless >= attempts - 1) throw error;
  const wait = Math.max(Math.min(30_000, patience * 2 ** fruitless), 1000 * (error.after ?? 0));
  await sleep(wait * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => signal.throwIfAborted());
}

const refused = (reply: Reply): NetworkError => {
  reply.close();
  const after = Number(reply.headers['retry-after']);
  return new NetworkError(`${reply.url.hostname} answers with ${reply.status}: try again later`, {
    again: true,
    ...(after > 0 && { after: Math.min(after, 300) }),
  });
};

/** @throws StudioError where the hub will not give it, however often it is asked */
function checkStatus({ hub: { repository } }: Downloadable, reply: Reply, { endpoint }: Network, what: string): void {
  const { status, byHub } = reply;
  if (status === 404 || status === 410) {
    reply.close();
    throw new StudioError('notFound', `the hub has no ${what} of ${repository}: check HF_ENDPOINT`);
  }
  if (!byHub || (status !== 401 && status !== 403)) return; // elsewhere a 403 is a link that has run out
  reply.close();
  const page = new URL(repository, endpoint).href,
    enter = 'in the settings or with protagonist network token';
  throw new StudioError(
    'needsToken',
    !byHub.shown
      ? `the hub gives ${repository} only to people it knows: accept its licence at ${page}, then enter an access token of that account ${enter}`
      : status === 401
        ? `the hub knows nobody by the access token that was sent for ${repository}: enter another one ${enter}`
        : `the hub does not give ${repository} to the owner of this access token: accept its licence at ${page} with that account, or enter another token ${enter}`,
  );
}

// One file

/** Bytes that are there of file `n`. */
async function bytesOf(part: string, n: number, { path, size }: PlannedFile): Promise<number> {
  const length = async (file: string) =>
    stat(file).then(
      found => (found.isFile() ? found.size : -1),
      () => -1,
    );
  if ((await length(join(part, 'files', path))) === size) return size;
  const begun = await length(join(part, 'parts', String(n)));
  return begun < 0 || begun > size ? 0 : begun;
}

async function fetchFile(entry: Downloadable, commit: string, file: PlannedFile, n: number, work: Work): Promise<void> {
  const { part, meter, options, signal } = work,
    target = join(part, 'files', file.path);
  if ((await stat(target).catch(() => undefined))?.size === file.size) return meter.set(n, 'done', file.size); // only what was verified gets there
  meter.set(n, 'checking', await bytesOf(part, n, file));
  const begun = await Part.open(join(part, 'parts', String(n)), file, signal);
  try {
    let [fruitless, best] = [0, begun.bytes];
    for (let wrong = 0; ;) {
      try {
        await pour(entry, commit, file, begun, work, bytes => meter.set(n, 'downloading', bytes));
      } catch (error) {
        if (begun.bytes >= best + 2 ** 16) [fruitless, best] = [0, begun.bytes]; // further than ever: not in vain
        await again(error, fruitless++, options, signal);
        continue;
      }
      if (begun.isRight()) break;
      await begun.restart();
      [fruitless, best] = [0, 0];
      meter.set(n, 'downloading', 0);
      if (++wrong === 2)
        throw new StudioError(
          'badFile',
          `${file.path} of ${entry.name} arrived twice with other bytes than the hub promises: try again later, or choose another hub`,
        );
    }
    await begun.sync();
  } finally {
    await begun.close();
  }
  await mkdir(dirname(target), { recursive: true });
  await rename(begun.path, target);
  meter.set(n, 'done', file.size);
}

/** Adds what is missing of a file. @throws NetworkError where it stays incomplete */
async function pour(
  entry: Downloadable,
  commit: string,
  file: PlannedFile,
  begun: Part,
  { options: { network, reserve = 2 ** 31 }, part, signal }: Work,
  on: (bytes: number) => void,
): Promise<void> {
  if (begun.bytes === file.size) return;
  const { hub } = entry,
    { etag } = begun;
  const url = `${hub.repository}/resolve/${commit}/${file.path.split('/').map(encodeURIComponent).join('/')}`;
  const reply = await network.get(url, {
    signal,
    ...(begun.bytes > 0 && { headers: { range: `bytes=${begun.bytes}-`, ...(etag !== null && { 'if-range': etag }) } }),
  });
  try {
    const unfit = (what: string) => new NetworkError(`${reply.url.hostname} ${what} for ${file.path}: try again later`, { again: true });
    checkStatus(entry, reply, network, file.path);
    for (const said of [...reply.sentOn, reply.headers]) {
      const text = (name: string) =>
        String(said[name] ?? '')
          .replace(/^W\//, '')
          .replaceAll('"', '');
      const differs = (name: string, wanted: string) => said[name] !== undefined && text(name) !== wanted;
      const other = file.sha256 !== null && /^[0-9a-f]{64}$/.test(text('x-linked-etag')) && text('x-linked-etag') !== file.sha256;
      if (other || differs('x-repo-commit', commit) || differs('x-linked-size', String(file.size)))
        throw unfit('names another file than it listed');
    }
    const encoding = reply.headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') throw unfit('sends a changed form');
    const announced = reply.headers['content-length'],
      strong = /^"[^"]*"$/.exec(reply.headers.etag ?? '')?.[0] ?? null;
    switch (reply.status) {
      case 200: // all of it: there is something else than before, or it cannot send parts
        if (announced !== undefined && Number(announced) !== file.size) throw unfit('announces another size');
        await begun.restart();
        await begun.remember(strong);
        break;
      case 206: {
        const [, from, to, of] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(reply.headers['content-range'] ?? '') ?? [];
        if (Number(from) !== begun.bytes || Number(to) !== file.size - 1 || Number(of) !== file.size)
          throw unfit('sends another part than was asked');
        if (announced !== undefined && Number(announced) !== file.size - begun.bytes) throw unfit('announces another size');
        if (etag !== null && strong !== null && strong !== etag) {
          await begun.restart(); // it has not minded If-Range
          throw unfit('has something else than before');
        }
        break;
      }
      case 416:
        await begun.restart();
        throw unfit('has something else than before');
      default:
        throw refused(reply);
    }
    on(begun.bytes);
    let looked = begun.bytes;
    for await (const chunk of reply.body) {
      await begun.add(chunk.length > file.size - begun.bytes ? chunk.subarray(0, file.size - begun.bytes) : chunk);
      on(begun.bytes);
      if (begun.bytes === file.size) break;
      if (begun.bytes - looked < between) continue;
      looked = begun.bytes;
      await begun.sync();
      if ((await freeBytes(part)) < reserve / 2) throw new StudioError('noSpace', `the disk of ${part} is nearly full: free some space`);
    }
    if (begun.bytes < file.size) throw unfit('sends less than it announced');
  } finally {
    reply.close();
  }
}

/** What has come of a file, hashed as it comes. */
class Part {
  readonly path: string;
  #handle: FileHandle;
  #file: PlannedFile;
  #hashes: readonly (readonly [Hash, string])[] = [];
  #right: boolean | undefined;
  bytes = 0;
  /** Of what is in it; null where the server has given none that holds. */
  etag: string | null = null;

  private constructor(path: string, handle: FileHandle, file: PlannedFile) {
    this.path = path;
    this.#handle = handle;
    this.#file = file;
    this.#begin();
  }
  #begin(): void {
    const { sha256, blob, size } = this.#file;
    this.bytes = 0;
    this.etag = null;
    this.#right = undefined;
    this.#hashes = [
      ...(sha256 !== null ? [[createHash('sha256'), sha256] as const] : []),
      ...(blob !== null ? [[createHash('sha1').update(`blob ${size}\0`), blob] as const] : []),
    ];
  }
  /** Opens it and reads what an earlier run has left: a hash cannot be kept on the disk, and reading is many times faster than fetching. */
  static async open(path: string, file: PlannedFile, signal: AbortSignal): Promise<Part> {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | (process.platform === 'win32' ? 0 : constants.O_NOFOLLOW));
    const part = new Part(path, handle, file);
    try {
      const { size: length } = await handle.stat();
      if (length > file.size) await part.restart();
      else if (length > 0) {
        const buffer = Buffer.alloc(2 ** 20);
        while (part.bytes < length) {
          signal.throwIfAborted();
          const { bytesRead } = await handle.read(buffer, 0, buffer.length, part.bytes);
          if (bytesRead === 0) break;
          part.#hash(buffer.subarray(0, bytesRead));
        }
        part.etag = (await readRecord(`${path}.json`, z.object({ etag: z.string().nullable() })))?.etag ?? null;
      }
      return part;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }
  #hash(chunk: Uint8Array): void {
    for (const [hash] of this.#hashes) hash.update(chunk);
    this.bytes += chunk.length;
  }
  async add(chunk: Uint8Array): Promise<void> {
    for (let written = 0; written < chunk.length;)
      written += (await this.#handle.write(chunk, written, chunk.length - written, this.bytes + written)).bytesWritten;
    this.#hash(chunk);
  }
  /** Forgets what has come. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#begin();
  }
  /** What the bytes that follow belong to: on the disk before they are. */
  async remember(etag: string | null): Promise<void> {
    await writeDurably(`${this.path}.json`, Buffer.from(JSON.stringify({ etag })));
    this.etag = etag;
  }
  /** Whether what has come is the file that was promised. */
  isRight(): boolean {
    return (this.#right ??= this.bytes === this.#file.size && this.#hashes.every(([hash, wanted]) => hash.digest('hex') === wanted));
  }
  sync = (): Promise<void> => this.#handle.sync();
  close = (): Promise<void> => this.#handle.close();
}

// The disk

const gb = (bytes: number) => (bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);

async function checkSpace(name: string, { part, meter, options: { reserve = 2 ** 31 } }: Work, { files }: Plan): Promise<void> {
  const missing = files.reduce((n, f) => n + f.size, 0) - meter.bytes,
    free = await freeBytes(part);
  if (missing > 0 && missing + reserve > free)
    throw new StudioError(
      'noSpace',
      `${name} needs ${gb(missing)} more and ${gb(reserve)} that stay free, and ${gb(free)} are free there: free some space`,
    );
}

/** Gives the verified files their folder's name, all at once. */
async function publish(planned: Plan, { folder, part }: Work): Promise<void> {
  try {
    const files = join(part, 'files');
    const receipt = join(part, receiptName); // written outside: what a kill leaves of it does not come along
    await writeDurably(receipt, Buffer.from(`${JSON.stringify(planned, undefined, 1)}\n`));
    await rename(receipt, join(files, receiptName));
    for (const inside of new Set(planned.files.map(f => dirname(f.path)))) await syncFolder(join(files, inside));
    await syncFolder(files);
    await rmdir(folder).catch(() => undefined); // empty, or not there
    await rename(files, folder);
    await syncFolder(dirname(folder));
    await rm(part, { recursive: true, force: true });
  } catch (error) {
    throw fileError(`cannot write ${folder}`, error);
  }
}

/** A JSON file of ours; undefined where there is none that can be understood. */
async function readRecord<S extends z.ZodType>(file: string, schema: S): Promise<z.output<S> | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return undefined;
  }
}

// Telling

/** How far it is and how fast. */
class Meter {
  state: DownloadProgress['state'] = 'listing';
  bytes = 0;
  #files: FileProgress[] = [];
  #of = 0;
  #on: ((progress: DownloadProgress) => void) | undefined;
  #told = -Infinity;
  /** Bytes that came, by quarters of a second. */
  #came: { at: number; bytes: number }[] = [];

  constructor(on: ((progress: DownloadProgress) => void) | undefined) {
    this.#on = on;
  }
  plan(files: readonly PlannedFile[]): void {
    this.#files = files.map(({ path, size }) => ({ path, size, bytes: 0, state: 'waiting' }));
    this.#of = files.reduce((n, f) => n + f.size, 0);
    this.bytes = 0;
    this.#came = [];
  }
  set(n: number, state: FileProgress['state'], bytes: number): void {
    const before = this.#files[n]!;
    this.bytes += bytes - before.bytes;
    this.#files[n] = { ...before, state, bytes };
    if (before.state === 'downloading' && bytes > before.bytes) this.#count(bytes - before.bytes);
    this.#tell(before.state !== state && state === 'done');
  }
  become(state: DownloadProgress['state']): void {
    if (this.state === state) return;
    this.state = state;
    if (state !== 'downloading') this.#came = [];
    this.#tell(true);
  }
  #count(bytes: number): void {
    const at = Math.floor(performance.now() / 250) * 250,
      last = this.#came.at(-1);
    if (last?.at === at) last.bytes += bytes;
    else this.#came.push({ at, bytes });
  }
  show(): DownloadProgress {
    const now = performance.now();
    this.#came = this.#came.filter(({ at }) => at > now - 10_000);
    const since = this.#came[0],
      seconds = since ? (now - since.at) / 1000 : 0;
    const speed = seconds >= 1 ? this.#came.reduce((n, c) => n + c.bytes, 0) / seconds : undefined;
    return {
      state: this.state,
      files: [...this.#files],
      bytes: this.bytes,
      of: this.#of,
      speed,
      secondsLeft: speed !== undefined && speed > 0 ? (this.#of - this.bytes) / speed : undefined,
    };
  }
  #tell(now: boolean): void {
    if (!this.#on || (!now && performance.now() - this.#told < 200)) return;
    this.#told = performance.now();
    this.#on(this.show());
  }
}

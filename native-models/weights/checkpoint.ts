/**
 * @file Checkpoints as diffusers saves them: a folder with model_index.json and one folder for each component, each with its config.json and its weights in
 * one safetensors file or in shards with an index. Links (as in the Hugging Face cache) are followed.
 */
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { JsonError, JsonReader, printable } from './json.ts';
import { looksLikePickle, openRegular, readSafetensors, type StoredTensor } from './safetensors.ts';

/** The classes that can be run, by component. */
const classes: Readonly<Record<string, readonly string[]>> = {
  transformer: ['CogVideoXTransformer3DModel'],
  vae: ['AutoencoderKLCogVideoX'],
  text_encoder: ['T5EncoderModel'],
  tokenizer: ['T5Tokenizer', 'T5TokenizerFast'],
  scheduler: ['CogVideoXDDIMScheduler', 'CogVideoXDPMScheduler'],
};

/** One component's folder. */
export interface Component {
  /** The folder's name: transformer, vae, text_encoder. */
  readonly name: string;
  readonly dir: string;
  /** `_class_name` (diffusers) or the first of `architectures` (transformers). */
  readonly className: string;
  /** config.json as it is. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** The safetensors files that hold the tensors: absolute, links resolved, in the order of the shards' names. */
  readonly files: readonly string[];
  /** What is odd but harmless, one sentence each. */
  readonly notices: readonly string[];
}

/** A diffusers folder. Components are opened when they are asked for, once. */
export interface Checkpoint {
  readonly dir: string;
  /** model_index.json as it is. */
  readonly modelIndex: Readonly<Record<string, unknown>>;
  /** The components that model_index.json names, with their classes. */
  readonly classNames: ReadonlyMap<string, string>;
  /** A component with weights (transformer, vae, text_encoder). */
  component(name: string): Component;
  /** The scheduler's class and scheduler/scheduler_config.json as it is. */
  scheduler(): { readonly className: string; readonly config: Readonly<Record<string, unknown>>; readonly file: string };
  /** Absolute path of a tokenizer file, spiece.model unless another is named. */
  tokenizerFile(name?: string): string;
}

/** A path that may not exist. */
const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/** Opens a diffusers checkpoint folder. @throws one sentence that says what is missing and what to do */
export function openCheckpoint(folder: string): Checkpoint {
  const dir = resolve(folder);
  if (!statSync(dir, { throwIfNoEntry: false }))
    throw new Error(`There is no checkpoint folder ${folder}; give the folder that holds model_index.json.`);
  if (!isFolder(dir)) throw new Error(`${folder} is a file, not a checkpoint; give the folder that holds model_index.json.`);
  if (!isFile(join(dir, 'model_index.json'))) throw new Error(noIndex(folder, dir));
  const modelIndex = readObject(join(dir, 'model_index.json'));
  const classNames = new Map(
    Object.entries(modelIndex).flatMap(([name, entry]) =>
      Array.isArray(entry) && typeof entry[1] === 'string' ? [[name, entry[1]] as const] : [],
    ),
  );
  const check = (name: string): string => {
    const className = classNames.get(name);
    if (className === undefined)
      throw new Error(
        `${join(dir, 'model_index.json')} names no ${name}; this checkpoint is not complete, or not of a kind that is known.`,
      );
    const known = classes[name];
    if (known && !known.includes(className))
      throw new Error(`The ${name} of ${folder} is a ${printable(className)}, which is not supported; supported: ${known.join(', ')}.`);
    return className;
  };
  const open = new Map<string, Component>();
  return {
    dir,
    modelIndex,
    classNames,
    component(name) {
      const before = open.get(name);
      if (before) return before;
      const className = check(name);
      const component = openComponent(join(dir, name));
      if (component.className !== className)
        throw new Error(
          `model_index.json of ${folder} calls the ${name} a ${printable(className)}, but its config.json a ${printable(component.className)}; download the checkpoint again.`,
        );
      open.set(name, component);
      return component;
    },
    scheduler() {
      const className = check('scheduler');
      const file = join(dir, 'scheduler', 'scheduler_config.json');
      if (!isFile(file)) throw new Error(`${file} is missing; download the checkpoint again.`);
      return { className, config: readObject(file), file };
    },
    tokenizerFile(name = 'spiece.model') {
      check('tokenizer');
      const file = join(dir, 'tokenizer', name);
      if (!isFile(file)) throw new Error(`${file} is missing; download the checkpoint again.`);
      return file;
    },
  };
}

/** Why a folder without model_index.json is no checkpoint. */
function noIndex(folder: string, dir: string): string {
  if (isFile(join(dir, 'config.json')))
    return `${folder} is one component of a checkpoint; give the folder above it, which holds model_index.json.`;
  const snapshots = join(dir, 'snapshots');
  if (isFolder(snapshots)) {
    const inside = readdirSync(snapshots).filter(name => isFile(join(snapshots, name, 'model_index.json')));
    if (inside[0] !== undefined)
      return `${folder} is a folder of the Hugging Face cache; give the checkpoint inside it, ${join(snapshots, inside[0])}.`;
  }
  return `${folder} holds no model_index.json, so it is not a checkpoint in the diffusers layout; download the whole repository with its folders.`;
}

/** Base names of weight files: diffusers looks for an index first, transformers for a single file first. */
const layouts = [
  { base: 'diffusion_pytorch_model', indexFirst: true },
  { base: 'model', indexFirst: false },
] as const;

/**
 * Opens one component's folder, without a model_index.json. The plain weight names win over variants (`.fp16`); a folder with variants only gives the fp16
 * one, else the first by name. @throws one sentence that says what is missing and what to do
 */
export function openComponent(folder: string): Component {
  const dir = resolve(folder);
  if (!isFolder(dir)) throw new Error(`The folder ${folder} is missing; download the checkpoint again.`);
  const configFile = join(dir, 'config.json');
  if (!isFile(configFile)) throw new Error(`${configFile} is missing; download the checkpoint again.`);
  const config = readObject(configFile);
  const architectures = config['architectures'];
  const className = config['_class_name'] ?? (Array.isArray(architectures) ? (architectures[0] as unknown) : undefined);
  if (typeof className !== 'string')
    throw new Error(`${configFile} names no class (_class_name or architectures), so its weights cannot be understood.`);
  const notices: string[] = [];
  const { path, index } = weightsOf(folder, dir);
  const tensors = index ? readShards(dir, path, notices) : readSafetensors(path).tensors;
  const files = [...new Set([...tensors.values()].map(t => t.file))];
  return { name: basename(dir), dir, className, config, tensors, files, notices };
}

/** The single weight file or the index of a component's folder. */
function weightsOf(folder: string, dir: string): { path: string; index: boolean } {
  const names = readdirSync(dir).filter(name => isFile(join(dir, name)));
  for (const { base, indexFirst } of layouts) {
    const found = names.flatMap(name => {
      const [, single, sharded] = /^(?:(.*)\.safetensors|(.*)\.safetensors\.index(?:\..+)?\.json)$/.exec(name) ?? [];
      const stem = single ?? sharded;
      if (stem === undefined || (stem !== base && !stem.startsWith(`${base}.`)) || /-\d{5}-of-\d{5}/.test(name)) return [];
      const variant = single === undefined ? (/\.index\.(.+)\.json$/.exec(name)?.[1] ?? '') : stem.slice(base.length + 1);
      return [{ path: join(dir, name), index: single === undefined, variant }];
    });
    const rank = (variant: string): string => (variant === '' ? '0' : variant === 'fp16' ? '1' : `2${variant}`);
    const [first] = found.toSorted(
      (a, b) => (rank(a.variant) < rank(b.variant) ? -1 : rank(a.variant) > rank(b.variant) ? 1 : 0) || (a.index === indexFirst ? -1 : 1),
    );
    if (first) return first;
  }
  const pickle = names.find(name => !name.endsWith('.json') && looksLikePickle(join(dir, name)));
  if (pickle !== undefined)
    throw new Error(
      `${folder} holds its weights only as a Python pickle (${printable(pickle)}), which can run code when it is opened, so it is not read; ` +
        'get the .safetensors version, or convert it with save_pretrained(..., safe_serialization=True) where its source is trusted.',
    );
  const orphan = names.find(name => /-\d{5}-of-\d{5}.*\.safetensors$/.test(name));
  if (orphan !== undefined)
    throw new Error(
      `${folder} holds shards (${printable(orphan)}) but not their index (*.safetensors.index.json); download the checkpoint again.`,
    );
  throw new Error(`${folder} holds no weights (diffusion_pytorch_model.safetensors or model.safetensors); download the checkpoint again.`);
}

/** Reads an index and all its shards; every tensor must lie in exactly the shard that the index names. */
function readShards(dir: string, indexFile: string, notices: string[]): ReadonlyMap<string, StoredTensor> {
  const { shardOf, totalSize } = readIndex(indexFile);
  const tensors = new Map<string, StoredTensor>();
  for (const shard of [...new Set(shardOf.values())].toSorted()) {
    const path = join(dir, shard);
    if (!isFile(path)) throw new Error(`The shard ${path} is missing; ${basename(indexFile)} names it. Download the checkpoint again.`);
    for (const [name, tensor] of readSafetensors(path).tensors) {
      const place = shardOf.get(name);
      if (place !== shard)
        throw new Error(
          place === undefined
            ? `${path} holds "${printable(name)}", which ${basename(indexFile)} does not name; download the checkpoint again.`
            : `${path} holds "${printable(name)}", which ${basename(indexFile)} places in ${place}; download the checkpoint again.`,
        );
      tensors.set(name, tensor);
    }
  }
  for (const [name, shard] of shardOf)
    if (!tensors.has(name))
      throw new Error(
        `${join(dir, shard)} lacks "${printable(name)}", which ${basename(indexFile)} places there; download the checkpoint again.`,
      );
  const total = [...tensors.values()].reduce((sum, t) => sum + t.length, 0);
  // Loaders ignore the total, and files converted afterwards often keep the old one: worth a word, not a refusal.
  if (totalSize !== undefined && totalSize !== total)
    notices.push(`${indexFile} claims ${totalSize} bytes of tensors, the shards hold ${total}.`);
  return tensors;
}

/** weight_map and total_size of an index. */
function readIndex(file: string): { shardOf: ReadonlyMap<string, string>; totalSize: number | undefined } {
  const shardOf = new Map<string, string>();
  let totalSize: number | undefined;
  try {
    const json = new JsonReader(readSmall(file), 200_000);
    json.object(key => {
      if (key === 'weight_map')
        json.object(name => {
          const shard = json.string();
          // One plain name inside this folder: a path could lead anywhere on the machine.
          if (!/^[^/\\:\0]+\.safetensors$/.test(shard))
            throw new Error(
              `${file} places "${printable(name)}" in "${printable(shard)}", which is not the plain name of a .safetensors file.`,
            );
          shardOf.set(name, shard);
        });
      else if (key === 'metadata')
        json.object(inner => {
          if (inner === 'total_size') totalSize = Number(json.numberText());
          else json.skip();
        });
      else json.skip();
    });
    json.end();
  } catch (error) {
    if (error instanceof JsonError)
      throw new Error(`${file} is refused: ${error.message}; download the checkpoint again.`, { cause: error });
    throw error;
  }
  if (shardOf.size === 0) throw new Error(`${file} has no weight_map; download the checkpoint again.`);
  return { shardOf, totalSize };
}

/** A JSON or text file of at most 64 MiB. */
export function readSmall(file: string): Buffer {
  const { fd, stat } = openRegular(file);
  try {
    if (stat.size > 2n ** 26n) throw new Error(`${file} has ${stat.size.toString()} bytes, more than a configuration may have.`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A JSON file whose value is an object, as it is. */
export function readObject(file: string): Readonly<Record<string, unknown>> {
  const bytes = readSmall(file);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Error(`${file} is not valid JSON (${printable((error as Error).message)}); download it again.`, { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${file} does not hold a JSON object; download it again.`);
  return value as Readonly<Record<string, unknown>>;
}

/** Second names under which a class may store a tensor that is tied to another: [kept, duplicate]. */
const tied: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  T5EncoderModel: [['shared.weight', 'encoder.embed_tokens.weight']],
};

const listed = (names: readonly string[]): string =>
  names
    .slice(0, 5)
    .map(name => printable(name))
    .join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '');

/**
 * Finds every wanted tensor in a component, strictly both ways: none missing, none left over, each with its shape and as F32, F16 or BF16.
 * A tied duplicate (T5's encoder.embed_tokens.weight beside shared.weight) may stand beside or in place of its twin.
 * @param optional names that may lie in the component without being wanted
 * @returns the wanted tensors by the wanted names, in the order wanted
 * @throws one sentence with the first names and their count
 */
export function bind(
  wanted: Iterable<{ readonly name: string; readonly shape: readonly number[] }>,
  component: Pick<Component, 'name' | 'className' | 'tensors'>,
  optional: Iterable<string> = [],
): ReadonlyMap<string, StoredTensor> {
  const found = new Map<string, StoredTensor>();
  const missing: string[] = [];
  const wrong: string[] = [];
  const left = new Set(component.tensors.keys());
  for (const name of optional) left.delete(name);
  const twins = tied[component.className] ?? [];
  for (const { name, shape } of wanted) {
    const names = [name, ...twins.flatMap(pair => (pair[0] === name ? [pair[1]] : []))];
    const tensor = names.map(n => component.tensors.get(n)).find(t => t !== undefined);
    for (const n of names) left.delete(n);
    if (!tensor) {
      missing.push(name);
      continue;
    }
    if (tensor.shape.length !== shape.length || shape.some((size, i) => size !== tensor.shape[i]))
      wrong.push(`${tensor.name} is [${tensor.shape.join(',')}] instead of [${shape.join(',')}]`);
    else if (tensor.dtype !== 'F32' && tensor.dtype !== 'F16' && tensor.dtype !== 'BF16')
      wrong.push(`${tensor.name} is ${tensor.dtype} instead of F32, F16 or BF16`);
    found.set(name, tensor);
  }
  const unexpected = [...left];
  const faults = [
    ...(missing.length > 0 ? [`${missing.length} tensors are missing: ${listed(missing)}`] : []),
    ...(unexpected.length > 0 ? [`${unexpected.length} tensors are not known: ${listed(unexpected)}`] : []),
    ...(wrong.length > 0 ? [`${wrong.length} tensors do not fit: ${listed(wrong)}`] : []),
  ];
  if (faults.length > 0)
    throw new Error(`The weights of the ${component.name} do not fit its config.json (${component.className}): ${faults.join('; ')}.`);
  return found;
}

const hashes = new Map<string, Promise<string>>();

/**
 * SHA-256 of content, in hex: of one file's bytes; of a component's config.json and weights; or of all that a checkpoint computes with (components,
 * scheduler, tokenizer). Names and places of files do not count. Streaming; a file is hashed once in a process as long as its size and time of change stay.
 * @param onBytes called with how many more bytes are done, piece by piece; all at once for a file whose hash is known
 */
export async function identity(
  of: string | Pick<Component, 'dir' | 'files'> | Checkpoint,
  signal?: AbortSignal,
  onBytes?: (more: number) => void,
): Promise<string> {
  if (typeof of === 'string') {
    const path = realpathSync(of);
    const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true });
    const key = [path, dev, ino, size, mtimeNs].join(' ');
    const before = hashes.get(key);
    if (before) {
      onBytes?.(Number(size));
      return before;
    }
    const hashing = hashFile(path, signal, onBytes);
    hashes.set(key, hashing);
    hashing.catch(() => hashes.delete(key));
    return hashing;
  }
  const parts =
    'files' in of
      ? [join(of.dir, 'config.json'), ...of.files]
      : [...['transformer', 'vae', 'text_encoder'].map(name => of.component(name)), of.scheduler().file, of.tokenizerFile()];
  const all = createHash('sha256');
  for (const part of parts) all.update(await identity(part, signal, onBytes));
  return all.digest('hex');
}

/** The files whose content `identity` of a checkpoint takes in, links resolved. */
export function filesOf(checkpoint: Checkpoint): string[] {
  const components = ['transformer', 'vae', 'text_encoder'].map(name => checkpoint.component(name));
  const paths = [
    ...components.flatMap(c => [join(c.dir, 'config.json'), ...c.files]),
    checkpoint.scheduler().file,
    checkpoint.tokenizerFile(),
  ];
  return paths.map(path => realpathSync(path));
}

async function hashFile(path: string, signal?: AbortSignal, onBytes?: (more: number) => void): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20, ...(signal && { signal }) })) {
    hash.update(piece as Buffer);
    onBytes?.((piece as Buffer).length);
  }
  return hash.digest('hex');
}

/**
 * @file LoRA adapters from safetensors files: the key forms of PEFT, diffusers and kohya's trainers, their scales, and what does not fit, by name.
 * A module's weight becomes W + scale * alpha / rank * B A (Hu et al. 2021, arXiv 2106.09685; kernels of A and B for convolutions).
 */
import { readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openComponent, readObject } from './checkpoint.ts';
import { printable } from './json.ts';
import {
  elements,
  isFiniteTensor,
  limits,
  readIntegers,
  readSafetensors,
  readTensor,
  summary,
  type SafetensorsFile,
  type StoredTensor,
} from './safetensors.ts';

/** The two matrices of one adapted module. A is [rank, in] or [rank, in, kh, kw], B [out, rank] or [out, rank, 1, 1]. */
export interface AdapterModule {
  readonly A: StoredTensor;
  readonly B: StoredTensor;
  readonly rank: number;
  readonly alpha: number;
}

export interface Adapter {
  /** Absolute, links resolved. */
  readonly file: string;
  /** Strength: 1 as trained, 0 none, negative the opposite. */
  readonly scale: number;
  /** By module path as in the transformer's checkpoint (`transformer_blocks.0.attn1.to_q`). */
  readonly modules: ReadonlyMap<string, AdapterModule>;
  /** The class of the model it was trained on (PEFT's auto_mapping), where its description says so. */
  readonly trainedOn: string | undefined;
  /** adapter_config.json beside it, if its alpha was read from there. */
  readonly description: string | undefined;
  /** What was assumed, one sentence each, to be printed. */
  readonly notices: readonly string[];
}

/** Splits a trailing `:number`, the scale, off an argument; without one the scale is 1. `C:\a.safetensors`, `C:5` and `a:b.safetensors` are paths as they are. */
export function parseScaled(argument: string): { readonly path: string; readonly scale: number } {
  const [, path, number] = /^(.+):([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)$/is.exec(argument) ?? [];
  if (path === undefined || number === undefined || /^[a-z]$/i.test(path)) return { path: argument, scale: 1 };
  const scale = Number(number);
  if (!Number.isFinite(scale)) throw new Error(`The scale of ${argument} is beyond any number that can be used; give one such as 0.8.`);
  return { path, scale };
}

/** Word by word what a key may be: [pattern, what it holds]. The first group is the module path. */
const forms = [
  [/^(.+)\.lora_A(?:\.[^.]+)?\.weight$/, 'A'],
  [/^(.+)\.lora_B(?:\.[^.]+)?\.weight$/, 'B'],
  [/^(.+)\.lora[._]down\.weight$/, 'A'],
  [/^(.+)\.lora[._]up\.weight$/, 'B'],
  [/^(.+)\.alpha$/, 'alpha'],
] as const;

/** Keys that mean something that is not done here, and why. */
const refusals = [
  [
    /^(?:base_model\.model\.)?text_(?:encoder|model)|^lora_te\d?_/,
    'it adapts the text encoder, which is not supported; train or export it for the transformer alone',
  ],
  [/\.(?:lora_magnitude_vector(?:\.[^.]+)?(?:\.weight)?|dora_scale)$/, 'it is a DoRA, which is not supported; train it as a plain LoRA'],
  [
    /\.(?:hada_w[12]|lokr_w[12]|oft_|boft_|vera_lambda|ia3_l)/,
    'it is another kind of adapter (LoHa, LoKr, OFT, VeRA or IA3); only LoRA is supported',
  ],
  [/\.lora_(?:embedding_[AB]|B(?:\.[^.]+)?\.bias|bias)/, 'LoRA biases and embeddings are not supported'],
  [
    /^lora_unet_/,
    'its names are joined by underscores (kohya), so the modules cannot be told for certain; convert it to the diffusers form',
  ],
] as const;

/** True for a tensor name in one of the forms of LoRA keys. */
const isAdapterKey = (name: string): boolean =>
  /\.lora_?[.AB]|[._]lora[._](?:down|up)\./.test(name) || refusals.some(([pattern]) => pattern.test(name));

/** What a file says of its rank and alpha beside the tensors. */
interface Declared {
  readonly alpha: number | undefined;
  readonly rank: number | undefined;
  readonly alphas: ReadonlyMap<string, number>;
  readonly ranks: ReadonlyMap<string, number>;
  /** Scaled by alpha / sqrt(rank). */
  readonly rslora: boolean;
  readonly trainedOn: string | undefined;
  /** Where it stands, if not in the file itself. */
  readonly description?: string;
}

/**
 * Opens an adapter: a safetensors file, or a folder with one (beside optimizer, scheduler and checkpoint files, which are passed over).
 * Alpha comes from `<module>.alpha`, else from the file's metadata (`lora_alpha`, or diffusers' `lora_adapter_metadata`), else from adapter_config.json
 * beside it; else it is 64 for the paper's released file, known by its shapes, and the rank for any other, each with a notice.
 * @throws one sentence that names the file and the key that cannot be used
 */
export function readAdapter(fileOrFolder: string, options: { readonly scale?: number } = {}): Adapter {
  const path = adapterFile(fileOrFolder);
  const file = readSafetensors(path, limits.adapterHeader);
  const refuse = (why: string): never => {
    throw new Error(`${fileOrFolder} cannot be used as an adapter: ${why}.`);
  };
  const parts = new Map<string, { A?: StoredTensor; B?: StoredTensor; alpha?: StoredTensor }>();
  for (const [key, tensor] of file.tensors) {
    const why = refusals.find(([pattern]) => pattern.test(key))?.[1];
    if (why !== undefined) refuse(`${why} ("${printable(key)}")`);
    const name = key.replace(/^(?:base_model\.model\.|transformer\.)+/, '');
    const form = forms.find(([pattern]) => pattern.test(name));
    if (!form) return refuse(`"${printable(key)}" is not a LoRA key (lora_A and lora_B, lora.down and lora.up, or lora_down and lora_up)`);
    const module = form[0].exec(name)![1]!;
    const part = parts.get(module) ?? {};
    parts.set(module, part);
    if (part[form[1]]) refuse(`"${printable(key)}" gives ${form[1]} of ${printable(module)} a second time`);
    part[form[1]] = tensor;
  }
  if (parts.size === 0) refuse('it holds no tensors');

  const pairs = new Map<string, { A: StoredTensor; B: StoredTensor; rank: number; alpha: number | undefined }>();
  for (const [module, { A, B, alpha }] of parts) {
    const shown = printable(module);
    if (!A || !B) return refuse(`${shown} has ${A ? 'no B to its A' : B ? 'no A to its B' : 'an alpha but neither A nor B'}`);
    const rank = rankOf(shown, A, B, refuse);
    pairs.set(module, { A, B, rank, alpha: alpha && readScalar(alpha, refuse) });
  }

  const notices: string[] = [];
  const declared = declarations(file, path, refuse);
  const modules = new Map<string, AdapterModule>();
  const assumed = isPaperAdapter(pairs) ? 64 : undefined;
  let guessed = 0;
  for (const [module, { A, B, rank, alpha: own }] of pairs) {
    const expected = match(declared?.ranks, module) ?? declared?.rank;
    if (expected !== undefined && expected !== rank)
      refuse(`${printable(module)} has rank ${rank}, but the file's own description says ${expected}`);
    let alpha = own ?? match(declared?.alphas, module) ?? declared?.alpha;
    if (alpha === undefined) guessed++;
    else if (own === undefined && declared?.rslora) alpha *= Math.sqrt(rank);
    modules.set(module, { A, B, rank, alpha: alpha ?? assumed ?? rank });
  }
  if (guessed > 0)
    notices.push(
      assumed !== undefined
        ? `${fileOrFolder} names no alpha; by its shapes it is the released adapter of the paper, so alpha is ${assumed}.`
        : `${fileOrFolder} names no alpha for ${guessed} of its ${modules.size} modules, so alpha is taken as the rank; if the clip looks over- or undercooked, give a scale (FILE:0.5).`,
    );
  const scale = options.scale ?? 1;
  if (!Number.isFinite(scale)) refuse(`the scale ${scale} is not a number that can be used`);
  return { file: file.file, scale, modules, trainedOn: declared?.trainedOn, description: declared?.description, notices };
}

/** The file itself, or the one adapter of a folder. */
function adapterFile(fileOrFolder: string): string {
  const stat = statSync(fileOrFolder, { throwIfNoEntry: false });
  if (!stat) throw new Error(`There is no adapter ${fileOrFolder}; give a .safetensors file, or a folder that holds one.`);
  if (!stat.isDirectory()) return fileOrFolder;
  const names = readdirSync(fileOrFolder)
    .filter(name => name.endsWith('.safetensors') && !/scheduler|optimizer|checkpoint/.test(name))
    .toSorted();
  const [name] = names;
  if (name === undefined) throw new Error(`The folder ${fileOrFolder} holds no adapter (.safetensors); give the file itself.`);
  if (names.length > 1)
    throw new Error(`The folder ${fileOrFolder} holds ${names.length} adapters (${names.slice(0, 5).map(n => printable(n)).join(', ')}); give one of the files.`); // prettier-ignore
  return join(fileOrFolder, name);
}

type Refuse = (why: string) => never;

/** The rank of a pair whose shapes agree. */
function rankOf(module: string, A: StoredTensor, B: StoredTensor, refuse: Refuse): number {
  for (const { name, dtype } of [A, B])
    if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') refuse(`"${printable(name)}" is ${dtype}; F32, F16 and BF16 are supported`);
  const [rank = 0] = A.shape;
  const linear = A.shape.length === 2 && B.shape.length === 2;
  const convolution = A.shape.length === 4 && B.shape.length === 4 && B.shape[2] === 1 && B.shape[3] === 1;
  if ((!linear && !convolution) || B.shape[1] !== rank || A.length === 0 || B.length === 0)
    refuse(`A [${A.shape.join(',')}] and B [${B.shape.join(',')}] of ${module} do not fit each other`);
  if (rank > 1024) refuse(`${module} has rank ${rank}; 1 to 1024 is supported`);
  return rank;
}

/** A tensor of one finite number. */
function readScalar(tensor: StoredTensor, refuse: Refuse): number {
  if (elements(tensor.shape) !== 1) refuse(`"${printable(tensor.name)}" is not one number`);
  const value = /^[IU]/.test(tensor.dtype) ? Number(readIntegers(tensor)[0]) : readTensor(tensor)[0]!;
  if (!Number.isFinite(value)) refuse(`"${printable(tensor.name)}" is ${value}`);
  return value;
}

/** Rank and alpha as declared in the file's metadata, else in adapter_config.json beside it. */
function declarations(file: SafetensorsFile, path: string, refuse: Refuse): Declared | undefined {
  const packed = file.metadata.get('lora_adapter_metadata');
  const plain = file.metadata.get('lora_alpha');
  if (plain !== undefined) return declared({ lora_alpha: plain.trim() === '' ? plain : Number(plain) }, 'the metadata', refuse);
  if (packed !== undefined) {
    let value: unknown;
    try {
      value = JSON.parse(packed);
    } catch {
      refuse('its lora_adapter_metadata is not valid JSON');
    }
    if (typeof value !== 'object' || value === null) return refuse('its lora_adapter_metadata is not a JSON object');
    // diffusers prefixes the keys with the component when it saves a pipeline's adapters, not when it saves one model's.
    const entries = Object.entries(value).map(([key, v]) => [key.replace(/^transformer\./, ''), v as unknown] as const);
    return declared(Object.fromEntries(entries), 'its lora_adapter_metadata', refuse);
  }
  const beside = join(dirname(path), 'adapter_config.json');
  if (!statSync(beside, { throwIfNoEntry: false })?.isFile()) return undefined;
  return { ...declared(readObject(beside), 'adapter_config.json', refuse), description: beside };
}

/** Checks a PEFT LoraConfig. */
function declared(config: Readonly<Record<string, unknown>>, where: string, refuse: Refuse): Declared {
  const number = (value: unknown, what: string): number => {
    if (typeof value !== 'number' || !Number.isFinite(value)) return refuse(`${what} in ${where} is not a number`);
    return value;
  };
  const optional = (key: string): number | undefined =>
    config[key] === undefined || config[key] === null ? undefined : number(config[key], key);
  const pattern = (key: string): ReadonlyMap<string, number> => {
    const value = config[key] ?? {};
    if (typeof value !== 'object' || Array.isArray(value)) return refuse(`${key} in ${where} is not an object`);
    return new Map(Object.entries(value).map(([module, v]) => [module, number(v, `${key} of ${printable(module)}`)]));
  };
  if (config['use_dora'] === true) refuse(`${where} calls it a DoRA, which is not supported; train it as a plain LoRA`);
  const model = (config['auto_mapping'] as Partial<Record<string, unknown>> | null | undefined)?.['base_model_class'];
  return {
    alpha: optional('lora_alpha'),
    rank: optional('r'),
    alphas: pattern('alpha_pattern'),
    ranks: pattern('rank_pattern'),
    rslora: config['use_rslora'] === true,
    trainedOn: typeof model === 'string' ? printable(model, 100) : undefined,
  };
}

/**
 * A module's own value in PEFT's rank_pattern or alpha_pattern. PEFT takes the keys as regular expressions; ours are the plain ones that savers write, a
 * module path or its end, `^` before it for the whole path: an expression from a stranger could run for ever.
 */
function match(pattern: ReadonlyMap<string, number> | undefined, module: string): number | undefined {
  for (const [key, value] of pattern ?? []) {
    const plain = key.replace(/^\^/, '').replace(/\$$/, '').replaceAll('\\.', '.');
    if (/[\\^$*+?()[\]{}|]/.test(plain))
      throw new Error(`The pattern "${printable(key)}" in the adapter's description is an expression; only module names are read.`);
    if (module === plain || (!key.startsWith('^') && module.endsWith(`.${plain}`))) return value;
  }
  return undefined;
}

/** The paper's released adapter for CogVideoX-5B: 338 pairs of rank 128 on the targets that its trainer names. */
function isPaperAdapter(
  pairs: ReadonlyMap<string, { readonly A: StoredTensor; readonly B: StoredTensor; readonly rank: number }>,
): boolean {
  const shapes: readonly (readonly [string, readonly number[], number])[] = [
    ['attn1.to_q', [128, 3072], 3072],
    ['attn1.to_k', [128, 3072], 3072],
    ['attn1.to_v', [128, 3072], 3072],
    ['attn1.to_out.0', [128, 3072], 3072],
    ['ff.net.0.proj', [128, 3072], 12288],
    ['ff.net.2', [128, 12288], 3072],
    ['norm1.linear', [128, 512], 18432],
    ['norm2.linear', [128, 512], 18432],
  ];
  const is = (module: string, A: readonly number[], out: number): boolean => {
    const pair = pairs.get(module);
    return pair !== undefined && pair.A.shape.join() === A.join() && pair.B.shape[0] === out;
  };
  return (
    pairs.size === 338 &&
    is('patch_embed.proj', [128, 16, 2, 2], 3072) &&
    is('patch_embed.text_proj', [128, 4096], 3072) &&
    Array.from({ length: 42 }, (_, i) => shapes.every(([name, A, out]) => is(`transformer_blocks.${i}.${name}`, A, out))).every(Boolean)
  );
}

/**
 * Checks an adapter against the transformer that it shall adapt, before it is used: every module is there, shapes fit, all values are finite (reads the file).
 * @param tensors the transformer's tensors by name
 * @throws one sentence that names the module
 */
export function checkAdapter(adapter: Adapter, tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>): void {
  for (const [module, { A, B }] of adapter.modules) {
    const weight = tensors.get(`${module}.weight`);
    const shown = printable(module);
    if (!weight)
      throw new Error(`${adapter.file} adapts ${shown}, which this transformer does not have; the adapter was made for another model.`);
    const [out, ...rest] = weight.shape;
    if (B.shape[0] !== out || A.shape.slice(1).join() !== rest.join())
      throw new Error(
        `${adapter.file} was made for another model: ${shown} is [${weight.shape.join(',')}] here, its A [${A.shape.join(',')}] and B [${B.shape.join(',')}].`,
      );
  }
  for (const module of adapter.modules.values()) checkValues(adapter.file, module);
}

/** Reads a module's values. @throws one sentence if some are not numbers */
export function checkValues(file: string, { A, B }: AdapterModule): void {
  for (const tensor of [A, B])
    if (!isFiniteTensor(tensor))
      throw new Error(`${file} is damaged or its training failed: "${printable(tensor.name)}" holds values that are not numbers.`);
}

/** What a safetensors file or a component's folder is, as plain values to print: text from the file is escaped and cut; what cannot be used says why under `problem`. */
export function describe(fileOrFolder: string): Readonly<Record<string, unknown>> {
  if (statSync(fileOrFolder).isDirectory() && statSync(join(fileOrFolder, 'config.json'), { throwIfNoEntry: false })) {
    try {
      const { className, files, tensors, notices } = openComponent(fileOrFolder);
      return { kind: 'component', class: printable(className), files: files.length, ...summary(tensors), ...noticed(notices) };
    } catch (error) {
      return { kind: 'component', problem: (error as Error).message };
    }
  }
  const path = adapterFile(fileOrFolder);
  const file = readSafetensors(path);
  const metadata = Object.fromEntries([...file.metadata].slice(0, 50).map(([key, value]) => [printable(key, 60), printable(value, 300)]));
  const contents = { ...summary(file.tensors), ...(file.metadata.size > 0 && { metadata }) };
  if (![...file.tensors.keys()].some(isAdapterKey)) return { kind: ownerOf(path) ?? 'safetensors', ...contents };
  let adapter: Adapter;
  try {
    adapter = readAdapter(path);
  } catch (error) {
    return { kind: 'LoRA', problem: (error as Error).message, ...contents };
  }
  const range = (values: readonly number[]): number | readonly number[] => {
    const distinct = [...new Set(values)].toSorted((a, b) => a - b);
    return distinct.length === 1 ? distinct[0]! : distinct;
  };
  const all = [...adapter.modules.values()];
  // transformer_blocks.7.attn1.to_out.0 and its like in every block are one target, attn1.to_out.0.
  const targets = [...new Set([...adapter.modules.keys()].map(name => printable(name.replace(/^.*?blocks\.\d+\./, ''))))].toSorted();
  return {
    kind: 'LoRA',
    modules: all.length,
    rank: range(all.map(m => m.rank)),
    alpha: range(all.map(m => m.alpha)),
    targets,
    ...contents,
    ...noticed(adapter.notices),
  };
}

const noticed = (notices: readonly string[]): object => (notices.length > 0 ? { notices } : {});

/** The class of the component in whose folder a weight file lies. */
function ownerOf(path: string): string | undefined {
  const config = join(dirname(path), 'config.json');
  if (!statSync(config, { throwIfNoEntry: false })?.isFile()) return undefined;
  const { _class_name: className, architectures } = readObject(config);
  const name: unknown = className ?? (Array.isArray(architectures) ? architectures[0] : undefined);
  return typeof name === 'string' ? `weights of a ${printable(name, 60)}` : undefined;
}

/** @file The door to ONNX Runtime. A tensor is a handle: where it lies is its room's business, so what one run returns and the next one takes does not travel. */

// ONNX Runtime 1.29 and later report each start, session and model to Microsoft and keep a device's id in the user's cache, unless this is set before their environment is made. Nothing of ours leaves this machine.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

export type DType = 'float32' | 'float16' | 'bfloat16' | 'int64';
/** 16-bit floats are their bits. */
export type Numbers = Float32Array | BigInt64Array | Uint16Array;

export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** A copy of its elements. @throws if it was released */
  read(): Promise<Numbers>;
  /** Frees it; a second time is nothing. A run that is under way keeps what it uses. */
  release(): void;
}

export interface Program {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** One run. The caller releases what it returns.
   * @throws the signal's reason when it is aborted (the C API stops between two nodes, the binding before and after the run); one sentence if an input is missing,
   *   unknown or of another runtime; DeviceError */
  run(inputs: Readonly<Record<string, Tensor>>, signal?: AbortSignal): Promise<Record<string, Tensor>>;
  /** Frees the program and its weights, after a run that is under way. */
  release(): void;
}

export interface LoadOptions {
  /** What errors call it. */
  readonly name?: string;
  /** Where the graph's external data is looked up; '/' if not said. */
  readonly folder?: string;
  /** How far ONNX Runtime rewrites the graph; 'all' if not said. */
  readonly optimize?: 'none' | 'basic' | 'extended' | 'all';
  /** Session configuration entries by their whole key. */
  readonly config?: Readonly<Record<string, string>>;
  /** Between runs a GPU keeps of its memory only what is still held; the next run asks for it anew. For programs that are large and seldom run. */
  readonly frugal?: boolean;
}

export interface Runtime {
  readonly device: string;
  readonly room: 'binding' | 'c-api';
  /** A tensor holding a copy of the numbers. @throws if they do not fill the shape or are not of the dtype's kind */
  tensor(dtype: DType, shape: readonly number[], data: Numbers): Tensor;
  /** The program of ONNX bytes. @throws DeviceError */
  load(bytes: Uint8Array, options?: LoadOptions): Promise<Program>;
  /** Bytes of the device's own memory that this process holds, what the device needs for itself included; absent where it has none of its own. */
  inUse?(): number;
  /** Frees every program and tensor that is left. */
  release(): void;
}

/** ONNX Runtime refused; `reason` says how, for those who can do something about it. */
export class DeviceError extends Error {
  readonly reason: 'outOfMemory' | 'noKernel' | 'weights' | 'library' | 'other';
  constructor(reason: DeviceError['reason'], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'DeviceError';
    this.reason = reason;
  }
}

/** ONNX Runtime's message as one sentence about `program`. */
export function explain(program: string, device: string, cause: unknown): DeviceError {
  const said = cause instanceof Error ? cause.message : String(cause);
  const rows: readonly [RegExp, DeviceError['reason'], string][] = [
    [
      /out of memory|failed to allocate memory|bad_alloc|bad allocation|CUDA failure 2\b|CUBLAS failure [13]\b|CU(?:BLAS|DNN)_STATUS_(?:ALLOC_FAILED|NOT_INITIALIZED)|expr=cu(?:blas|blasLt|dnn)Create\b|available memory of/i,
      'outOfMemory',
      `${device} has no memory left; close what else uses it, or ask for a smaller picture, fewer frames or a 16-bit precision`,
    ],
    [
      /fallback to CPU EP has been explicitly disabled|Could not find an implementation|NOT_IMPLEMENTED|Provider type for \S+ node|Type 'tensor\(\w+\)' of input parameter/i,
      'noKernel',
      `${device} has no kernel for a node of it; choose another precision or device`,
    ],
    [
      /external data|external initializer|External data path|mmap|file_size|Cannot open|No such file|out of bounds/i,
      'weights',
      'its weights cannot be read where they were; has the checkpoint been moved or changed?',
    ],
  ];
  const known = rows.find(([pattern]) => pattern.test(said));
  const first = said
    .replace(/^Error: /, '')
    .replaceAll(/\S+\.(?:cc|cu|cuh|h):\d+ [^()]*\([^()]*\)(?: const)?(?: \[with [^\]]*\])? /g, '') // where in ONNX Runtime's source
    .replaceAll(/ ; (?:GPU|hostname|file|line)=\S*/g, '')
    .replace(/\s+/g, ' ')
    .slice(0, 400);
  return new DeviceError(known?.[1] ?? 'other', `${program}: ${known ? `${known[2]} (${first})` : `ONNX Runtime: ${first}`}`, cause);
}

/** How many numbers a dtype's array holds, and which array that is. */
export const arrays = { float32: Float32Array, int64: BigInt64Array, float16: Uint16Array, bfloat16: Uint16Array } as const;

/** @throws if the numbers do not fill the shape or are not of the dtype's kind */
export function checkTensor(dtype: DType, shape: readonly number[], data: Numbers): void {
  if (!(data instanceof arrays[dtype])) throw new Error(`tensor: ${dtype} takes a ${arrays[dtype].name}, not a ${data.constructor.name}`);
  const n = shape.reduce((a, b) => a * b, 1);
  if (data.length !== n) throw new Error(`tensor: ${data.length} numbers do not fill ${dtype}[${shape.join(',')}]`);
}

/** The run's tensors in the program's order. @throws one sentence if one is missing, unknown, released or of another runtime */
export function arrange<T extends Tensor>(
  program: string,
  names: readonly string[],
  given: Readonly<Record<string, Tensor>>,
  mine: (t: Tensor) => t is T,
): T[] {
  const unknown = Object.keys(given).find(k => !names.includes(k));
  if (unknown !== undefined) throw new Error(`${program} has no input ${unknown}; it takes ${names.join(', ') || 'none'}`);
  return names.map(k => {
    const t = given[k];
    if (!t) throw new Error(`${program}: input ${k} is missing`);
    if (!mine(t)) throw new Error(`${program}: input ${k} is released or of another runtime; make it with this runtime's tensor()`);
    return t;
  });
}

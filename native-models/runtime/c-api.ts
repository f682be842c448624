/** @file The room of ONNX Runtime's C API, called by FFI in the shared library that onnxruntime-node ships; the only importer of koffi. Tensors stay where they were computed,
 * bfloat16 crosses the edge, a run leaves the event loop free and stops when told to, and CUDA takes all its options. */
import type Koffi from 'koffi';
import {
  DeviceError,
  arrange,
  arrays,
  checkTensor,
  explain,
  type DType,
  type Numbers,
  type Program,
  type Runtime,
  type Tensor,
} from './runtime.ts';

/** Position in struct OrtApi, which is append-only, and the arguments. All but the releases and the message return a status. */
const table = {
  GetErrorMessage: [2, 'void *'],
  CreateEnv: [3, 'int, const char *, _Out_ void **'],
  CreateSessionFromArray: [8, 'void *, void *, size_t, void *, _Out_ void **'],
  Run: [9, 'void *, void *, const char **, void **, size_t, const char **, size_t, _Inout_ void **'],
  CreateSessionOptions: [10, '_Out_ void **'],
  DisableMemPattern: [17, 'void *'],
  DisableCpuMemArena: [19, 'void *'],
  SetSessionLogSeverityLevel: [22, 'void *, int'],
  SetSessionGraphOptimizationLevel: [23, 'void *, int'],
  SetIntraOpNumThreads: [24, 'void *, int'],
  SetInterOpNumThreads: [25, 'void *, int'],
  SessionGetInputCount: [30, 'void *, _Out_ size_t *'],
  SessionGetOutputCount: [31, 'void *, _Out_ size_t *'],
  SessionGetInputName: [36, 'void *, size_t, void *, _Out_ void **'],
  SessionGetOutputName: [37, 'void *, size_t, void *, _Out_ void **'],
  CreateRunOptions: [39, '_Out_ void **'],
  RunOptionsSetTerminate: [46, 'void *'],
  CreateTensorWithDataAsOrtValue: [49, 'void *, void *, size_t, int64_t *, size_t, int, _Out_ void **'],
  GetTensorMutableData: [51, 'void *, _Out_ void **'],
  GetTensorElementType: [60, 'void *, _Out_ int *'],
  GetDimensionsCount: [61, 'void *, _Out_ size_t *'],
  GetDimensions: [62, 'void *, _Out_ int64_t *, size_t'],
  GetTensorTypeAndShape: [65, 'void *, _Out_ void **'],
  CreateMemoryInfo: [68, 'const char *, int, int, int, _Out_ void **'],
  CreateCpuMemoryInfo: [69, 'int, int, _Out_ void **'],
  AllocatorFree: [76, 'void *, void *'],
  GetAllocatorWithDefaultOptions: [78, '_Out_ void **'],
  ReleaseEnv: [92, 'void *'],
  ReleaseStatus: [93, 'void *'],
  ReleaseMemoryInfo: [94, 'void *'],
  ReleaseSession: [95, 'void *'],
  ReleaseValue: [96, 'void *'],
  ReleaseRunOptions: [97, 'void *'],
  ReleaseTensorTypeAndShapeInfo: [99, 'void *'],
  ReleaseSessionOptions: [100, 'void *'],
  AddSessionConfigEntry: [130, 'void *, const char *, const char *'],
  RunWithBinding: [133, 'void *, void *, void *'],
  CreateIoBinding: [134, 'void *, _Out_ void **'],
  ReleaseIoBinding: [135, 'void *'],
  BindInput: [136, 'void *, const char *, void *'],
  BindOutputToDevice: [138, 'void *, const char *, void *'],
  GetBoundOutputValues: [140, 'void *, void *, _Out_ void **, _Out_ size_t *'],
  AddRunConfigEntry: [165, 'void *, const char *, const char *'],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, 'void *, void *'],
  CreateCUDAProviderOptions: [205, '_Out_ void **'],
  UpdateCUDAProviderOptions: [206, 'void *, const char **, const char **, size_t'],
  ReleaseCUDAProviderOptions: [208, 'void *'],
} as const;
const apiVersion = 24;
const element: Readonly<Record<DType, number>> = { float32: 1, int64: 7, float16: 10, bfloat16: 16 }; // ONNXTensorElementDataType
const levels = { none: 0, basic: 1, extended: 2, all: 99 };

type Pointer = unknown;
type Call = ((...args: unknown[]) => Pointer) & { async(...args: unknown[]): void };
type Api = Record<keyof typeof table, Call>;

export interface CApiOptions {
  /** ONNX Runtime's shared library. */
  readonly library: string;
  readonly threads: number;
  /** Run on this CUDA device. */
  readonly cuda?: {
    readonly id: number;
    /** Products of float32 with 10-bit mantissas: faster, and no longer float32. */
    readonly tf32?: boolean;
  };
}

/** A runtime by the C API, on the CPU or on CUDA. @throws DeviceError if the library does not load */
export async function openCApi({ library, threads, cuda }: CApiOptions): Promise<Runtime> {
  const koffi = await open();
  const api = bind(koffi, library);
  const must = (status: Pointer): void => {
    if (!status) return;
    const why = String(api.GetErrorMessage(status));
    api.ReleaseStatus(status);
    throw new Error(why);
  };
  /** The pointer or number that a call leaves behind its last argument. */
  const out = <T = Pointer>(call: (slot: [T | null]) => Pointer): T => {
    const slot: [T | null] = [null];
    must(call(slot));
    return slot[0] as T;
  };

  const device = cuda ? 'cuda' : 'cpu';
  const env = out(o => api.CreateEnv(4, 'protagonist', o)); // 4: fatal; what goes wrong is thrown
  const hostMemory = out(o => api.CreateCpuMemoryInfo(0, 0, o));
  const deviceMemory = cuda && out(o => api.CreateMemoryInfo('Cuda', 0, cuda.id, 0, o));
  const allocator = out(o => api.GetAllocatorWithDefaultOptions(o));
  const copyBack = cuda && cudaCopy(koffi);
  const tensors = new Set<CApiTensor>();
  const programs = new Set<Program>();
  const stops = new Set<Pointer>(); // run options of the runs under way

  /** `host`: the buffer that the value was made over; it must live as long as the value. */
  class CApiTensor implements Tensor {
    readonly dtype: DType;
    readonly shape: readonly number[];
    value: Pointer;
    users = 0;
    readonly #host: Numbers | undefined;
    #released = false;
    constructor(value: Pointer, dtype: DType, shape: readonly number[], host?: Numbers) {
      this.value = value;
      this.dtype = dtype;
      this.shape = shape;
      this.#host = host;
      tensors.add(this);
    }
    get usable(): boolean {
      return !this.#released;
    }
    // eslint-disable-next-line @typescript-eslint/require-await -- a refusal must come as a rejection
    async read(): Promise<Numbers> {
      if (this.#released) throw new Error('read: the tensor was released');
      if (this.#host) return this.#host.slice();
      const n = this.shape.reduce((a, b) => a * b, 1);
      const copy = new arrays[this.dtype](n);
      if (!n) return copy;
      const from = out(o => api.GetTensorMutableData(this.value, o));
      if (copyBack) copyBack(copy, from);
      else new Uint8Array(copy.buffer).set(new Uint8Array(koffi.view(from, copy.byteLength)));
      return copy;
    }
    release(): void {
      this.#released = true;
      this.free();
    }
    free(): void {
      if (!this.#released || this.users || !this.value) return;
      api.ReleaseValue(this.value);
      this.value = null;
      tensors.delete(this);
    }
  }
  const mine = (t: Tensor): t is CApiTensor => t instanceof CApiTensor && t.usable;
  const wrap = (value: Pointer): CApiTensor => {
    const info = out(o => api.GetTensorTypeAndShape(value, o));
    const dims = new BigInt64Array(Number(out<number | bigint>(o => api.GetDimensionsCount(info, o))));
    const kind = out<number>(o => api.GetTensorElementType(info, o));
    must(api.GetDimensions(info, dims, dims.length));
    api.ReleaseTensorTypeAndShapeInfo(info);
    const dtype = (Object.keys(element) as DType[]).find(d => element[d] === kind);
    if (!dtype) throw new Error(`an output has the element type ${kind}, which this runtime does not read`);
    return new CApiTensor(value, dtype, Array.from(dims, Number));
  };

  const appendCuda = (options: Pointer, c: NonNullable<CApiOptions['cuda']>): void => {
    const settings = {
      device_id: String(c.id),
      arena_extend_strategy: 'kSameAsRequested',
      cudnn_conv_algo_search: 'HEURISTIC',
      use_tf32: c.tf32 ? '1' : '0',
    };
    const provider = out(o => api.CreateCUDAProviderOptions(o));
    try {
      must(api.UpdateCUDAProviderOptions(provider, Object.keys(settings), Object.values(settings), Object.keys(settings).length));
      must(api.SessionOptionsAppendExecutionProvider_CUDA_V2(options, provider));
    } finally {
      api.ReleaseCUDAProviderOptions(provider);
    }
  };

  const createSession = async (bytes: Uint8Array, level: number, entries: Readonly<Record<string, string>>): Promise<Pointer> => {
    const options = out(o => api.CreateSessionOptions(o));
    try {
      must(api.SetIntraOpNumThreads(options, threads));
      must(api.SetInterOpNumThreads(options, 1));
      must(api.DisableMemPattern(options));
      must(api.DisableCpuMemArena(options));
      must(api.SetSessionLogSeverityLevel(options, 4));
      must(api.SetSessionGraphOptimizationLevel(options, level));
      for (const [k, v] of Object.entries(entries)) must(api.AddSessionConfigEntry(options, k, v));
      if (cuda) appendCuda(options, cuda);
      const slot: [Pointer] = [null];
      must(await later(api.CreateSessionFromArray, env, bytes, bytes.length, options, slot));
      return slot[0];
    } finally {
      api.ReleaseSessionOptions(options);
    }
  };

  const runtime: Runtime = {
    device,
    room: 'c-api',
    tensor(dtype, shape, data) {
      checkTensor(dtype, shape, data);
      const host = data.slice(); // the value lies over it
      const dims = BigInt64Array.from(shape, BigInt);
      const value = out(o => api.CreateTensorWithDataAsOrtValue(hostMemory, host, host.byteLength, dims, dims.length, element[dtype], o));
      return new CApiTensor(value, dtype, [...shape], host);
    },
    async load(bytes, { name = 'program', folder = '/', optimize = 'all', config = {}, frugal = false } = {}) {
      const entries = {
        'session.model_external_initializers_file_folder_path': folder,
        ...(cuda && { 'session.disable_cpu_ep_fallback': '1', 'session.use_device_allocator_for_initializers': '1' }),
        ...config,
      };
      const session = await createSession(bytes, levels[optimize], entries).catch((e: unknown) => {
        throw explain(name, device, e);
      });
      const names = (count: Call, nameOf: Call): string[] =>
        Array.from({ length: Number(out<number | bigint>(o => count(session, o))) }, (_, i) => {
          const p = out(o => nameOf(session, i, allocator, o));
          const text = koffi.decode(p, 'char', -1) as string;
          must(api.AllocatorFree(allocator, p));
          return text;
        });
      const inputs = names(api.SessionGetInputCount, api.SessionGetInputName);
      const outputs = names(api.SessionGetOutputCount, api.SessionGetOutputName);
      let released = false;
      let running = 0;
      const close = (): void => {
        if (!released || running) return;
        programs.delete(program);
        api.ReleaseSession(session);
        end();
      };

      /** On the CPU: outputs are what ONNX Runtime allocates. */
      const runPlain = async (options: Pointer, given: readonly CApiTensor[]): Promise<Pointer[]> => {
        const values = outputs.map((): Pointer => null);
        const pointers = given.map(t => t.value);
        must(await later(api.Run, session, options, inputs, pointers, inputs.length, outputs, outputs.length, values));
        return values;
      };
      /** On a device: outputs stay there. */
      const runBound = async (options: Pointer, given: readonly CApiTensor[]): Promise<Pointer[]> => {
        const binding = out(o => api.CreateIoBinding(session, o));
        try {
          for (const [i, t] of given.entries()) must(api.BindInput(binding, inputs[i], t.value));
          for (const k of outputs) must(api.BindOutputToDevice(binding, k, deviceMemory));
          must(await later(api.RunWithBinding, session, options, binding));
          const count: [number] = [0];
          const list: [Pointer] = [null];
          must(api.GetBoundOutputValues(binding, allocator, list, count));
          const values = outputs.map((_, i): Pointer => koffi.decode(list[0], i * 8, 'void *'));
          must(api.AllocatorFree(allocator, list[0]));
          return values;
        } finally {
          api.ReleaseIoBinding(binding);
        }
      };

      const program: Program = {
        inputs,
        outputs,
        async run(given, signal) {
          if (released) throw new Error(`${name}: the program was released`);
          const values = arrange(name, inputs, given, mine);
          signal?.throwIfAborted();
          const options = out(o => api.CreateRunOptions(o));
          if (cuda && frugal) must(api.AddRunConfigEntry(options, 'memory.enable_memory_arena_shrinkage', `gpu:${cuda.id}`));
          const stop = (): void => void api.RunOptionsSetTerminate(options);
          signal?.addEventListener('abort', stop, { once: true });
          stops.add(options);
          running++;
          for (const t of values) t.users++;
          try {
            const made = (await (cuda ? runBound : runPlain)(options, values)).map(wrap);
            if (signal?.aborted) for (const t of made) t.release();
            signal?.throwIfAborted();
            return Object.fromEntries(outputs.map((k, i) => [k, made[i]!]));
          } catch (e) {
            throw signal?.aborted ? signal.reason : explain(name, device, e);
          } finally {
            signal?.removeEventListener('abort', stop);
            stops.delete(options);
            api.ReleaseRunOptions(options);
            for (const t of values) {
              t.users--;
              t.free();
            }
            running--;
            close();
          }
        },
        release() {
          if (released) return;
          released = true;
          close();
        },
      };
      programs.add(program);
      return program;
    },
    ...(cuda && { inUse: cudaInUse(koffi, cuda.id) }),
    release() {
      ending = true;
      for (const t of tensors) t.release();
      for (const p of programs) p.release();
      end();
    },
  };
  let ending = false;
  let ended = false;
  /** Once asked to, and when the last run has ended. */
  const end = (): void => {
    if (!ending || ended || programs.size) return;
    ended = true;
    process.off('exit', stopAll);
    api.ReleaseMemoryInfo(hostMemory);
    if (deviceMemory) api.ReleaseMemoryInfo(deviceMemory);
    api.ReleaseEnv(env);
  };
  // A process that ends waits for its threads: tell them to stop.
  const stopAll = (): void => {
    for (const options of stops) api.RunOptionsSetTerminate(options);
  };
  process.on('exit', stopAll);
  return runtime;
}

/** The call on a thread of its own; arguments stay alive until it returns. */
function later(call: Call, ...args: unknown[]): Promise<Pointer> {
  return new Promise((resolve, reject) => {
    call.async(...args, (error: unknown, status: Pointer) => {
      if (error) reject(error instanceof Error ? error : new Error(`ONNX Runtime could not be called: ${JSON.stringify(error)}`));
      else resolve(args.length ? status : null); // naming args here keeps buffers from being collected meanwhile
    });
  });
}

let opened: typeof Koffi | undefined;
/** koffi runs native code on stacks of its own, 128 KiB for calls on another thread; ONNX Runtime computes on the calling thread too and expects what threads have: 8 MiB. */
async function open(): Promise<typeof Koffi> {
  if (opened) return opened;
  const koffi = (await import('koffi')).default;
  koffi.config({ sync_stack_size: 8 << 20, async_stack_size: 8 << 20, resident_async_pools: 1 });
  return (opened ??= koffi);
}

const libraries = new Map<string, ReturnType<typeof Koffi.load>>();
/** A library whose handle is collected is unloaded, and every function in it jumps nowhere: handles stay for good. */
function load(koffi: typeof Koffi, name: string): ReturnType<typeof Koffi.load> {
  const known = libraries.get(name) ?? koffi.load(name);
  libraries.set(name, known);
  return known;
}

const bound = new Map<string, Api>();
let prototypes = 0; // koffi names types process-wide

function bind(koffi: typeof Koffi, library: string): Api {
  const known = bound.get(library);
  if (known) return known;
  const read = (from: Pointer, i: number): Pointer => koffi.decode(from, i * 8, 'void *') as Pointer;
  const call = (p: Pointer, signature: (name: string) => string): Call => {
    const decoded: unknown = koffi.decode(p, koffi.proto(signature(`OrtCall${prototypes++}`)));
    return decoded as Call;
  };
  let base: Pointer;
  try {
    base = load(koffi, library).func('void *OrtGetApiBase()')() as Pointer;
  } catch (e) {
    throw new DeviceError('library', `${library} does not load: ${e instanceof Error ? e.message : String(e)}`, e);
  }
  const struct = call(read(base, 0), name => `void *${name}(uint32_t)`)(apiVersion);
  if (!struct)
    throw new DeviceError(
      'library',
      `${library} is older than version ${apiVersion} of ONNX Runtime's C API; install onnxruntime-node 1.30`,
    );
  const entries = Object.entries(table).map(([name, [index, args]]) => {
    const result = name === 'GetErrorMessage' ? 'const char *' : name.startsWith('Release') ? 'void ' : 'void *';
    return [name, call(read(struct, index), id => `${result}${id}(${args})`)] as const;
  });
  const api = Object.fromEntries(entries) as Api;
  bound.set(library, api);
  return api;
}

/** cudaMemcpy from the device; it waits for what was computed before. */
function cudaCopy(koffi: typeof Koffi): (to: Numbers, from: Pointer) => void {
  const memcpy = load(koffi, cudart).func('int cudaMemcpy(void *, void *, size_t, int)') as unknown as (...args: unknown[]) => number;
  return (to, from) => {
    const code = memcpy(to, from, to.byteLength, 2); // 2: device to host
    if (code) throw new DeviceError('other', `a tensor could not be read back from the GPU: CUDA error ${code}`);
  };
}

/** What this process holds on the GPU, its context included, as NVML tells it; where that does not say (Windows, some containers), what all processes have taken from now on. */
function cudaInUse(koffi: typeof Koffi, id: number): () => number {
  const info = load(koffi, cudart).func('int cudaMemGetInfo(_Out_ size_t *, _Out_ size_t *)') as unknown as (...args: unknown[]) => number;
  const taken = () => {
    const [free, total]: [number | bigint][] = [[0], [0]];
    info(free, total);
    return Number(total![0]) - Number(free![0]);
  };
  const before = taken(),
    own = nvmlOwn(koffi, id);
  return own?.() === undefined ? () => taken() - before : () => own() ?? 0;
}
/** The bytes of this process by the driver's own books; what it returns is undefined where those do not name it. */
function nvmlOwn(koffi: typeof Koffi, id: number): (() => number | undefined) | undefined {
  const entry = 24, // nvmlProcessInfo_t: pid at 0, bytes at 8
    most = 256;
  try {
    const nvml = load(koffi, windows ? 'nvml.dll' : 'libnvidia-ml.so.1');
    const call = (lib: typeof nvml, signature: string) => lib.func(signature) as unknown as (...args: unknown[]) => number;
    const list = call(nvml, 'int nvmlDeviceGetComputeRunningProcesses_v3(void *, _Inout_ uint32_t *, void *)');
    const bus = Buffer.alloc(32),
      device: [Pointer] = [null];
    if (
      call(load(koffi, cudart), 'int cudaDeviceGetPCIBusId(void *, int, int)')(bus, bus.length, id) ||
      call(nvml, 'int nvmlInit_v2()')() ||
      call(nvml, 'int nvmlDeviceGetHandleByPciBusId_v2(void *, _Out_ void **)')(bus, device)
    )
      return undefined;
    return () => {
      const rows = Buffer.alloc(most * entry),
        count: [number] = [most];
      if (list(device[0], count, rows)) return undefined;
      for (let at = 0; at < count[0] * entry; at += entry)
        if (rows.readUInt32LE(at) === process.pid && rows.readInt32LE(at + 12) !== -1) return Number(rows.readBigUInt64LE(at + 8));
      return undefined;
    };
  } catch {
    return undefined; // not there, or too old
  }
}

export const windows = process.platform === 'win32';
/** What must lie beside ONNX Runtime's library. */
export const cudaProviders = ['cuda', 'shared'].map(n => (windows ? `onnxruntime_providers_${n}.dll` : `libonnxruntime_providers_${n}.so`));
const cudaDriver = windows ? 'nvcuda.dll' : 'libcuda.so.1';
const cudart = windows ? 'cudart64_13.dll' : 'libcudart.so.13';
/** What the CUDA provider itself loads, by name, and what to call it. */
const cudaLibraries: readonly (readonly [name: string, what: string])[] = windows
  ? [
      [cudart, "CUDA 13's runtime"],
      ['cublasLt64_13.dll', 'cuBLAS 13'],
      ['cublas64_13.dll', 'cuBLAS 13'],
      ['curand64_10.dll', 'cuRAND 10'],
      ['cudnn64_9.dll', 'cuDNN 9'],
    ]
  : [
      [cudart, "CUDA 13's runtime"],
      ['libcublasLt.so.13', 'cuBLAS 13'],
      ['libcublas.so.13', 'cuBLAS 13'],
      ['libcurand.so.10', 'cuRAND 10'],
      ['libcudnn.so.9', 'cuDNN 9'],
    ];

/** Are the driver, its libraries and a GPU there? Loads nothing of ONNX Runtime; takes some of the GPU's memory until the process ends.
 * @returns of a GPU that is there also what it is called and its bytes of memory */
export async function findCuda(): Promise<{ available: boolean; text: string; name?: string; memoryBytes?: number }> {
  const koffi = await open();
  const missing = (name: string): string | undefined => {
    try {
      load(koffi, name);
      return undefined;
    } catch (e) {
      return e instanceof Error ? e.message : String(e);
    }
  };
  const driver = missing(cudaDriver);
  if (driver !== undefined) return { available: false, text: `NVIDIA's driver is not there: install version 580 or newer (${driver})` };
  for (const [name, what] of cudaLibraries) {
    const why = missing(name);
    if (why !== undefined)
      return {
        available: false,
        text: `${what} is not there: put the folder of ${name} on ${windows ? 'the PATH' : 'LD_LIBRARY_PATH'} before the start (${why})`,
      };
  }
  const lib = load(koffi, cudart);
  const call = (signature: string): ((...args: unknown[]) => number) => lib.func(signature);
  const count: [number] = [0];
  const code = call('int cudaGetDeviceCount(_Out_ int *)')(count);
  if (code || !count[0]) return { available: false, text: `CUDA finds no GPU (its error ${code}): is driver 580 or newer installed?` };
  const free: [number | bigint] = [0];
  const total: [number | bigint] = [0];
  call('int cudaMemGetInfo(_Out_ size_t *, _Out_ size_t *)')(free, total);
  const gib = (bytes: number | bigint): string => (Number(bytes) / 2 ** 30).toFixed(1);
  const name = cudaName(koffi);
  return {
    available: true,
    text: `${count[0]} GPU${count[0] > 1 ? 's' : ''}, ${gib(free[0])} of ${gib(total[0])} GiB free`,
    ...(name !== undefined && { name }),
    memoryBytes: Number(total[0]),
  };
}

/** What the driver calls the first GPU. */
function cudaName(koffi: typeof Koffi): string | undefined {
  try {
    const driver = load(koffi, cudaDriver);
    const call = (signature: string) => driver.func(signature) as unknown as (...args: unknown[]) => number;
    const device: [number] = [0],
      name = Buffer.alloc(256);
    if (
      call('int cuInit(unsigned int)')(0) ||
      call('int cuDeviceGet(_Out_ int *, int)')(device, 0) ||
      call('int cuDeviceGetName(void *, int, int)')(name, name.length, device[0])
    )
      return undefined;
    return name.toString('utf8', 0, name.indexOf(0)) || undefined;
  } catch {
    return undefined; // it can be used without
  }
}

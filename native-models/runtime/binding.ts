/** @file The room of onnxruntime-node's own binding, the only importer of it. Tensors lie in this process's memory; a run blocks its thread. */
import type * as Ort from 'onnxruntime-node';
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

/** A CPU runtime by onnxruntime-node. @throws DeviceError if the package has no binary for this machine */
export async function openBinding({ threads }: { threads: number }): Promise<Runtime> {
  const ort = await open();
  const programs = new Set<Program>();

  class BindingTensor implements Tensor {
    readonly dtype: DType;
    readonly shape: readonly number[];
    value: Ort.Tensor | undefined;
    constructor(value: Ort.Tensor) {
      this.dtype = value.type as DType;
      this.shape = value.dims;
      this.value = value;
    }
    read(): Promise<Numbers> {
      if (!this.value) return Promise.reject(new Error('read: the tensor was released'));
      const data = this.value.data as Exclude<Ort.Tensor['data'], string[]>;
      // float16 comes as a Float16Array where the binding knows one: the same bytes
      return Promise.resolve(new arrays[this.dtype](data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer));
    }
    release(): void {
      this.value = undefined;
    }
  }
  type Held = BindingTensor & { value: Ort.Tensor };
  const mine = (t: Tensor): t is Held => t instanceof BindingTensor && t.value !== undefined;

  return {
    device: 'cpu',
    room: 'binding',
    tensor(dtype, shape, data) {
      checkTensor(dtype, shape, data);
      if (dtype === 'bfloat16')
        throw new Error("tensor: onnxruntime-node takes no bfloat16; Cast inside the graph, or use the room 'c-api'");
      return new BindingTensor(new ort.Tensor(dtype as 'float32', data.slice() as Float32Array, shape));
    },
    async load(bytes, { name = 'program', folder = '/', optimize = 'all', config = {} } = {}) {
      const session = await ort.InferenceSession.create(bytes, {
        executionProviders: ['cpu'],
        enableCpuMemArena: false,
        enableMemPattern: false,
        graphOptimizationLevel: optimize === 'none' ? 'disabled' : optimize,
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        logSeverityLevel: 4, // what goes wrong is thrown
        extra: nested({ 'session.model_external_initializers_file_folder_path': folder, ...config }),
      }).catch((e: unknown) => {
        throw explain(name, 'cpu', e);
      });
      let released = false;
      let running = 0;
      const close = (): void => {
        if (released && !running) void session.release();
      };
      const program: Program = {
        inputs: session.inputNames,
        outputs: session.outputNames,
        async run(given, signal) {
          if (released) throw new Error(`${name}: the program was released`);
          const values = arrange(name, session.inputNames, given, mine).map(t => t.value);
          signal?.throwIfAborted();
          running++;
          try {
            const out = await session.run(Object.fromEntries(session.inputNames.map((k, i) => [k, values[i]!])));
            signal?.throwIfAborted();
            return Object.fromEntries(Object.entries(out).map(([k, v]) => [k, new BindingTensor(v)]));
          } catch (e) {
            throw signal?.aborted ? signal.reason : explain(name, 'cpu', e);
          } finally {
            running--;
            close();
          }
        },
        release() {
          if (released) return;
          released = true;
          programs.delete(program);
          close();
        },
      };
      programs.add(program);
      return program;
    },
    release() {
      for (const p of programs) p.release();
    },
  };
}

let opened: Promise<typeof Ort> | undefined;
async function open(): Promise<typeof Ort> {
  opened ??= (async () => {
    const ort = await import('onnxruntime-node').catch((e: unknown) => {
      throw new DeviceError(
        'library',
        `onnxruntime-node has no library that loads on ${process.platform}/${process.arch}: ${String(e)}`,
        e,
      );
    });
    ort.env.logLevel = 'fatal';
    // Where a Float16Array exists the binding takes float16 only as one and then finds no element in it (1.30): it must not see the global while it draws up its table.
    const global = globalThis as { Float16Array?: unknown };
    const hidden = global.Float16Array;
    delete global.Float16Array;
    new ort.Tensor('float32', [0], [1]);
    if (hidden !== undefined) Object.defineProperty(globalThis, 'Float16Array', { value: hidden, writable: true, configurable: true });
    return ort;
  })();
  return opened;
}

/** `{ 'a.b': v }` -> `{ a: { b: v } }`, the form in which the binding takes session entries. */
function nested(entries: Readonly<Record<string, string>>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(entries)) {
    const parts = key.split('.');
    let at = out;
    for (const p of parts.slice(0, -1)) at = (at[p] ??= {}) as Record<string, unknown>;
    at[parts.at(-1)!] = value;
  }
  return out;
}

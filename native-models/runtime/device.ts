/** @file The devices: what each can run, which are there, and the way to open one. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import type { DType, Node } from '../graph/graph.ts';
import type { Ops } from '../graph/ops.ts';
import { conv3dAs2d, stretchByProduct, type Rule } from '../graph/passes.ts';
import { DeviceError, type Runtime } from './runtime.ts';

export type Device = 'cpu' | 'cuda';

/** What a probe found: what the device is; or why it is not there and what to do. */
export interface Probe {
  readonly device: Device;
  readonly available: boolean;
  readonly text: string;
  /** What it is called, and its own memory in bytes, where that can be told. */
  readonly name?: string;
  readonly memoryBytes?: number;
}

interface DeviceRow {
  /** Dtypes in which a graph can compute here. */
  readonly dtypes: readonly DType[];
  readonly room: Runtime['room'];
  /** Has it no kernel for this node? Then the op's `expand` is written instead. */
  lacks(op: keyof Ops, node: Node): boolean;
  /** Further passes that make a graph faster here. */
  readonly faster: readonly Rule[];
  /** Fixed adapters are folded into the weights while loading, or run beside them. */
  readonly adapters: 'folded' | 'initializer';
  probe(): Promise<Probe>;
}

/** CUDA's kernels that know float32 and float16 only (ONNX Runtime 1.30). */
const noBfloat16: ReadonlySet<keyof Ops> = new Set<keyof Ops>(['Pad', 'InstanceNormalization']);

export const devices: { readonly [D in Device]: DeviceRow } = {
  cpu: {
    dtypes: ['float32'],
    room: 'binding',
    lacks: () => false,
    faster: [conv3dAs2d, stretchByProduct],
    adapters: 'folded',
    probe() {
      const available = existsSync(library());
      return Promise.resolve({ device: 'cpu', available, text: available ? `${physicalCores()} threads` : missingLibrary() });
    },
  },
  cuda: {
    dtypes: ['float32', 'float16', 'bfloat16'],
    room: 'c-api',
    lacks: (op, node) => noBfloat16.has(op) && node.outputs[0]!.dtype === 'bfloat16',
    faster: [],
    adapters: 'initializer', // folding would happen on the CPU: seconds and gigabytes
    probe: probeCuda,
  },
};

/** Every device: is it there, and if not, why. */
export const probe = (): Promise<Probe[]> => Promise.all(Object.values(devices).map(row => row.probe()));

export interface OpenOptions {
  readonly device: Device | 'auto';
  readonly room?: Runtime['room'];
  /** Of the CPU; its cores if not said, and never more than it has: threads that wait by spinning would stop the machine. */
  readonly threads?: number;
}

/** Opens a device; 'auto' is CUDA where it is there, else the CPU. @throws DeviceError saying why the device is not there */
export async function openRuntime({ device, room, threads: wanted = physicalCores() }: OpenOptions): Promise<Runtime> {
  const threads = Math.min(wanted, availableParallelism());
  const found = device === 'cpu' ? undefined : await devices.cuda.probe();
  if (device === 'cuda' && found && !found.available) throw new DeviceError('library', `CUDA cannot be used: ${found.text}`);
  if (found?.available) {
    if (room === 'binding') throw new DeviceError('library', "CUDA is reached by the C API only; leave the room out or say 'c-api'");
    const { openCApi } = await import('./c-api.ts');
    return openCApi({ library: library(), threads, cuda: { id: 0 } });
  }
  if ((room ?? devices.cpu.room) === 'binding') {
    const { openBinding } = await import('./binding.ts');
    return openBinding({ threads });
  }
  if (!existsSync(library())) throw new DeviceError('library', missingLibrary());
  const { openCApi } = await import('./c-api.ts');
  return openCApi({ library: library(), threads });
}

/** The folder of onnxruntime-node's binaries for this machine. */
function binaries(): string {
  const main = createRequire(import.meta.url).resolve('onnxruntime-node');
  return join(dirname(main), '..', 'bin', 'napi-v6', process.platform, process.arch);
}
function library(): string {
  const names: Partial<Record<NodeJS.Platform, string>> = { darwin: 'libonnxruntime.1.dylib', win32: 'onnxruntime.dll' };
  return join(binaries(), names[process.platform] ?? 'libonnxruntime.so.1');
}
const missingLibrary = (): string =>
  `onnxruntime-node has no library for ${process.platform}/${process.arch}; it exists for linux, windows and macOS on arm64`;

/** CUDA needs two libraries beside ONNX Runtime's; the driver and CUDA's own are looked for by name. */
async function probeCuda(): Promise<Probe> {
  const { windows, cudaProviders, findCuda } = await import('./c-api.ts');
  if (process.platform !== 'linux' && !windows)
    return { device: 'cuda', available: false, text: `CUDA does not exist on ${process.platform}` };
  for (const name of cudaProviders)
    if (!existsSync(join(binaries(), name)))
      return {
        device: 'cuda',
        available: false,
        text: `${name} is not beside ONNX Runtime's library: put the one of onnxruntime-gpu 1.30.0 into ${binaries()}`,
      };
  return { device: 'cuda', ...(await findCuda()) };
}

/** Cores, not their second threads, as far as this process may use them. */
function physicalCores(): number {
  const may = availableParallelism();
  try {
    const siblings = new Set(
      Array.from({ length: may }, (_, i) => readFileSync(`/sys/devices/system/cpu/cpu${i}/topology/thread_siblings_list`, 'utf8').trim()),
    );
    return siblings.size;
  } catch {
    return may > 4 ? Math.ceil(may / 2) : may; // not Linux: two threads a core is the rule
  }
}

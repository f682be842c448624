/** @file From a model's graph function to a program that runs: weights bound where they lie, adapters, precision and the device's lowering as passes. */
import { Graph, reachable, type DType, type Value } from '../graph/graph.ts';
import { encode, type Stored } from '../graph/onnx.ts';
import { expand, lora, precision, replay } from '../graph/passes.ts';
import { devices, type Device } from '../runtime/device.ts';
import type { Program, Runtime } from '../runtime/runtime.ts';
import { given } from '../tasks.ts';
import { bind, type Component } from '../weights/checkpoint.ts';
import type { Adapter } from '../weights/lora.ts';
import type { SafetensorsDType, StoredTensor } from '../weights/safetensors.ts';

/** How a program computes. */
export interface Inside {
  readonly dtype: DType;
  readonly adapters?: readonly Adapter[];
  /** Tensors of the checkpoint that this part of a model does not use: what others read (an encoder's names, for a decoder). */
  readonly elsewhere?: (name: string) => boolean;
  /** Inputs and outputs, by name, that only go from one run to the next: they stay in `dtype`. */
  readonly between?: (name: string) => boolean;
  /** See LoadOptions. */
  readonly frugal?: boolean;
}

const dtypes: Readonly<Partial<Record<SafetensorsDType, DType>>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' };
function storedDtype(t: StoredTensor): DType {
  const dtype = dtypes[t.dtype];
  if (!dtype)
    throw new Error(
      `${t.name} in ${t.file} is stored as ${t.dtype}, which this engine does not compute with: use weights in F32, F16 or BF16`,
    );
  return dtype;
}

type Write = (g: Graph) => Record<string, Value>;

/** Writes a model and finds each of its weights in its component, by name and shape.
 * @throws TaskError `badFile` with the names that are missing, left over or of another shape */
export async function bindProgram(component: Component, write: Write, elsewhere?: Inside['elsewhere']) {
  const g = new Graph();
  const outputs = write(g);
  const wanted = reachable(g, Object.values(outputs)).flatMap(n => (n.op === 'initializer' ? n.outputs : []));
  const found = await given(() => bind(wanted, component, elsewhere ? [...component.tensors.keys()].filter(elsewhere) : []));
  return { g, outputs, found };
}

/** Writes a model, binds it to its checkpoint and loads it.
 * @param write the model: its inputs and outputs are the program's
 * @throws if a name or shape of model and checkpoint differ, if an adapter is for another model, or if the runtime refuses */
export async function loadProgram(
  runtime: Runtime,
  component: Component,
  write: Write,
  { dtype, adapters = [], elsewhere, between, frugal = false }: Inside,
): Promise<Program> {
  const row = devices[runtime.device as Device];
  const bound = await bindProgram(component, write, elsewhere);
  const found = new Map(bound.found);

  let now: { g: Graph; outputs: Record<string, Value> } = bound;
  if (adapters.length) {
    const named = adapters.map((adapter, i) => {
      const modules = [...adapter.modules].map(([path, { A, B, rank, alpha }]) => {
        const names = { A: `adapter.${i}.${path}.lora_A.weight`, B: `adapter.${i}.${path}.lora_B.weight` };
        found.set(names.A, A).set(names.B, B);
        return [path, { rank, alpha, ...names }] as const;
      });
      return { scale: adapter.scale, modules: new Map(modules) };
    });
    now = replay(now.g, now.outputs, lora(named, row.adapters));
  }
  now = replay(
    now.g,
    now.outputs,
    precision(now.g, now.outputs, dtype, name => storedDtype(found.get(name)!), between),
  );
  now = replay(
    now.g,
    now.outputs,
    expand((op, node) => row.lacks(op, node)),
  );
  for (const rule of row.faster) now = replay(now.g, now.outputs, rule);
  return runtime.load(
    encode(now.g, now.outputs, name => place(found.get(name)!)),
    { name: component.className, frugal },
  );
}

/** Where ONNX Runtime finds a tensor: locations are relative to the root of the file system. */
const place = ({ file, offset, length }: StoredTensor): Stored => ({ location: file.replace(/^\/+/, ''), offset, length });

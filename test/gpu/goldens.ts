/** @file The forward goldens on a GPU: `node test/gpu/goldens.ts [--device cuda] [--dtypes float16,...] [--torch FILE] [--json FILE] DIR...`, DIR a golden case or a folder of them.
 * Error is max|a-b| / max|b| against the golden's float32; beside it PyTorch's own on the same GPU, if goldens_torch.py wrote it to the file that --torch names.
 * Status 0 if every tensor is within: float32 the case's own tolerance, float16 1e-2, bfloat16 2e-2 (T5 5e-2). */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Graph } from '../../native-models/graph/graph.ts';
import { encode } from '../../native-models/graph/onnx.ts';
import { devices, openRuntime, type Device } from '../../native-models/runtime/device.ts';
import { DeviceError, type DType } from '../../native-models/runtime/runtime.ts';
import { Case, numbers, worst } from '../parity/case.ts';
import { kinds } from '../parity/kinds.ts';
import { casesIn } from '../parity/main.ts';

interface Row {
  readonly case: string;
  readonly tensor: string;
  readonly dtype: DType;
  readonly error: number;
  readonly tolerance: number;
  readonly torch?: number;
  readonly why?: string;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'cuda' },
    dtypes: { type: 'string' },
    torch: { type: 'string' },
    json: { type: 'string' },
  },
});
const device = values.device as Device;
const dtypes = (values.dtypes?.split(',') as DType[] | undefined) ?? devices[device].dtypes;
/** `case tensor dtype` -> error */
const torch = (values.torch && existsSync(values.torch) ? JSON.parse(readFileSync(values.torch, 'utf8')) : {}) as Record<string, number>;
const limits = { float16: 1e-2, bfloat16: 2e-2 } as const;
const limit = (kind: string, dtype: DType, exact: number): number =>
  dtype === 'float32' || dtype === 'int64' ? exact : kind === 't5' && dtype === 'bfloat16' ? 5e-2 : limits[dtype];

const rows: Row[] = [];
const tell = (row: Row): void => {
  rows.push(row);
  const beside = row.torch === undefined ? '' : `, torch ${row.torch.toExponential(1)}`;
  console.log(
    `${row.error <= row.tolerance ? 'ok  ' : 'FAIL'} ${row.case.padEnd(22)} ${row.tensor.padEnd(18)} ${row.dtype.padEnd(8)} ${row.error.toExponential(1)} of ${row.tolerance}${beside}${row.why ? ` ${row.why}` : ''}`,
  );
};

const runtime = await openRuntime({ device });
if (device === 'cuda') {
  // ONNX Runtime has Mean on the CPU only: a graph with it must be refused, or what follows would not show that all of it ran on the GPU.
  const g = new Graph();
  const bytes = Buffer.from(encode(g, { y: g.Sqrt(g.input('x', [4])) }, () => ({ location: '', offset: 0, length: 0 })));
  const mean = Buffer.from(bytes.toString('latin1').replaceAll('Sqrt', 'Mean'), 'latin1');
  const refused = await runtime.load(mean, { name: 'a graph with Mean' }).then(
    () => false,
    (e: unknown) => e instanceof DeviceError && e.reason === 'noKernel',
  );
  tell({ case: 'the CPU is no way out', tensor: 'refused', dtype: 'float32', error: refused ? 0 : NaN, tolerance: 0 });
}
for (const kase of positionals.flatMap(casesIn).map(dir => new Case(dir))) {
  const kind = kinds[kase.kind];
  if (!kind || !['transformer', 'vae', 't5'].includes(kase.kind)) continue;
  const golden = kase.header('outputs.safetensors');
  for (const dtype of dtypes) {
    const left = new Set([...golden.keys()].filter(name => !name.startsWith('rope_'))); // the tables are not the device's
    try {
      for await (const { file, name, data, tolerance } of kind.run(kase, runtime, dtype)) {
        if (file !== 'outputs') break; // forward only: neither tokens nor training
        const t = golden.get(name);
        if (!t || !left.delete(name)) continue;
        const beside = torch[`${kase.name} ${name} ${dtype}`];
        tell({
          case: kase.name,
          tensor: name,
          dtype,
          error: worst(data, numbers(t).data),
          tolerance: limit(kase.kind, dtype, tolerance),
          ...(beside !== undefined && { torch: beside }),
        });
      }
    } catch (e) {
      tell({ case: kase.name, tensor: 'the run', dtype, error: NaN, tolerance: 0, why: e instanceof Error ? e.message : String(e) });
    }
    for (const tensor of left) tell({ case: kase.name, tensor, dtype, error: NaN, tolerance: 0, why: 'was not computed' });
  }
}
runtime.release();
const failed = rows.filter(r => !(r.error <= r.tolerance)).length;
if (values.json) writeFileSync(values.json, JSON.stringify(rows, null, 1));
console.log('asked for bfloat16 the VAE computes in float16; asked for float16 the pipeline computes T5 in bfloat16');
console.log(`goldens on ${device}: ${rows.length - failed} passed, ${failed} failed`);
process.exitCode = failed || !rows.length ? 1 : 0;

/** @file `npm run parity -- DIR [--room binding|c-api|both] [--json]`: every case of the golden form in DIR (or DIR itself) is computed and every tensor of its outputs compared.
 * The last line is `N passed, N failed`, the exit status to match. */
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openRuntime } from '../../native-models/runtime/device.ts';
import type { Runtime } from '../../native-models/runtime/runtime.ts';
import { Case, numbers, worst, type Numbers, type Result } from './case.ts';
import { kinds } from './kinds.ts';

type Room = Runtime['room'];
export interface Check {
  readonly case: string;
  readonly kind: string;
  /** Absent where nothing runs through ONNX Runtime. */
  readonly room?: Room;
  readonly tensor: string;
  /** max|a-b| / max|b|, or the largest difference where the case asks for that; NaN where there is nothing to compare. */
  readonly error: number;
  readonly tolerance: number;
  readonly passed: boolean;
  readonly why?: string;
}

/** The folders with a case.json: `dir` itself, or those in it. @throws if there is none */
export function casesIn(dir: string): string[] {
  const at = resolve(dir);
  if (existsSync(join(at, 'case.json'))) return [at];
  const found = existsSync(at)
    ? readdirSync(at)
        .map(name => join(at, name))
        .filter(path => existsSync(join(path, 'case.json')))
        .sort()
    : [];
  if (!found.length) throw new Error(`${dir} is no case and holds none: a case is a folder with a case.json`);
  return found;
}

/** Computes the cases in `dir` and compares; `told` hears of each comparison as it is made. */
export async function parity(dir: string, rooms: readonly Room[], told: (check: Check) => void): Promise<void> {
  const cases = casesIn(dir).map(path => new Case(path));
  for (const room of rooms) {
    const runtime = await openRuntime({ device: 'cpu', room });
    try {
      for (const kase of cases) {
        const kind = kinds[kase.kind];
        if (!kind)
          told({
            case: kase.name,
            kind: kase.kind,
            tensor: 'case.json',
            error: NaN,
            tolerance: 0,
            passed: false,
            why: `the kind ${kase.kind} is not known; there are ${Object.keys(kinds).join(', ')}`,
          });
        else if (kind.rooms || room === rooms[0])
          for await (const check of compare(kase, kind.run(kase, runtime))) told({ ...check, ...(kind.rooms && { room }) });
      }
    } finally {
      runtime.release();
    }
  }
}

/** Each result with its tensor; then what was wanted and never computed. */
async function* compare(kase: Case, results: AsyncGenerator<Result>): AsyncGenerator<Check> {
  const left = expected(kase);
  const base = { case: kase.name, kind: kase.kind };
  const seen = new Set<string>();
  try {
    for await (const { file, name, way, data, shape, tolerance, absolute } of results) {
      const key = `${file} ${name}`;
      const b = left.get(key);
      if (!b) continue; // computed on the way, not part of this case
      seen.add(key);
      const want = b();
      const same = String(shape) === String(want.shape);
      const error = same ? worst(data, want.data, absolute) : NaN;
      yield {
        ...base,
        tensor: way ? `${name} (${way})` : name,
        error,
        tolerance,
        passed: error <= tolerance,
        ...(!same && { why: `the shape is [${shape.join(',')}] instead of [${want.shape.join(',')}]` }),
      };
    }
  } catch (e) {
    yield { ...base, tensor: 'the run', error: NaN, tolerance: 0, passed: false, why: e instanceof Error ? e.message : String(e) };
  }
  for (const key of left.keys())
    if (!seen.has(key))
      yield { ...base, tensor: key.slice(key.indexOf(' ') + 1), error: NaN, tolerance: 0, passed: false, why: 'it was not computed' };
}

/** Every tensor of the outputs, read when it is compared. */
function expected(kase: Case): Map<string, () => Numbers> {
  const all = new Map<string, () => Numbers>();
  for (const file of ['outputs', 'train_outputs'] as const)
    for (const [name, t] of kase.header(`${file}.safetensors`)) all.set(`${file} ${name}`, () => numbers(t));
  if (kase.has('tokens.json'))
    for (const [i, ids] of kase.tokens().ids.entries())
      all.set(`tokens ${i}`, () => ({ data: Float32Array.from(ids), shape: [ids.length] }));
  return all;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      room: { type: 'string', default: 'both' },
      json: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
    },
  });
  const rooms = { binding: ['binding'], 'c-api': ['c-api'], both: ['binding', 'c-api'] } as const;
  const room = values.room as keyof typeof rooms;
  const [dir, ...more] = positionals;
  if (!dir || more.length || !(room in rooms)) {
    console.error('usage: npm run parity -- DIR [--room binding|c-api|both] [--json] [--verbose]');
    return 2;
  }
  const checks: Check[] = [];
  await parity(dir, rooms[room], check => {
    checks.push(check);
    if (values.json) console.log(JSON.stringify(check));
    else if (!check.passed || values.verbose)
      console.log(
        `${check.passed ? 'ok  ' : 'FAIL'} ${check.case} ${check.room ?? ''} ${check.tensor}: ${check.why ?? `${check.error.toExponential(2)} of ${check.tolerance}`}`,
      );
  });
  const groups = Map.groupBy(checks, c => `${c.case.padEnd(24)} ${(c.room ?? 'any').padEnd(8)}`);
  if (!values.json)
    for (const [group, list] of groups) {
      const most = list.reduce((a, b) => (b.error / (b.tolerance || 1) > a.error / (a.tolerance || 1) || Number.isNaN(b.error) ? b : a));
      console.log(
        `${group} ${String(list.filter(c => c.passed).length).padStart(4)} of ${String(list.length).padStart(4)}, worst ${most.error.toExponential(1)} of ${most.tolerance} (${most.tensor})`,
      );
    }
  const failed = checks.filter(c => !c.passed).length;
  console.log(`${checks.length - failed} passed, ${failed} failed`);
  return failed ? 1 : 0;
}

if (import.meta.main)
  process.exitCode = await main().catch((e: unknown) => {
    console.error(e instanceof Error ? e.message : e);
    console.log('0 passed, 1 failed');
    return 1;
  });

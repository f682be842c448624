/** @file Every case of the golden form that is here, in both rooms: those of test/parity/cases, and ../shared/golden where that folder lies beside the checkout. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { writeSafetensors } from '../../native-models/weights/safetensors.ts';
import { Generator } from '../../native-models/schedulers/random.ts';
import { casesIn, parity, type Check } from './main.ts';

const places = [join(import.meta.dirname, 'cases'), resolve(import.meta.dirname, '../../../shared/golden')];
const checksOf = async (dir: string, rooms: readonly ('binding' | 'c-api')[]): Promise<Check[]> => {
  const checks: Check[] = [];
  await parity(dir, rooms, check => checks.push(check));
  return checks;
};

for (const place of places)
  if (!existsSync(place)) test(`${place} is not here`, { skip: 'no such folder' });
  else
    for (const dir of casesIn(place))
      for (const room of ['binding', 'c-api'] as const)
        test(`${dir.slice(place.length + 1)} in ${room}`, async () => {
          const checks = await checksOf(dir, [room]);
          assert.ok(checks.length > 0, 'nothing was compared');
          assert.deepEqual(
            checks.filter(c => !c.passed).map(c => `${c.tensor}: ${c.why ?? `${c.error} of ${c.tolerance}`}`),
            [],
          );
        });

test('a wrong number, a NaN, another shape, an output that nothing computes and an unknown kind each fail', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'parity-'));
  try {
    const shapes = [[5], [20], [2, 3]];
    const names = shapes.map((_, i) => `7.float32.${i}`);
    const generator = new Generator(7);
    const data = shapes.map(shape => generator.randn(shape));
    const write = (): void =>
      writeSafetensors(join(dir, 'outputs.safetensors'), [
        ...names.map((name, i) => ({ name, shape: shapes[i]!, data: data[i]! })),
        ...extra,
      ]);
    const extra: { name: string; shape: number[]; data: Float32Array }[] = [];
    writeFileSync(join(dir, 'case.json'), JSON.stringify({ kind: 'random', seeds: [7], shapes }));
    const failed = async (): Promise<string[]> => (await checksOf(dir, ['binding'])).filter(c => !c.passed).map(c => c.tensor);
    write();
    assert.deepEqual(await failed(), []);
    data[0]![0]! += 1e-3;
    data[1]![0] = NaN;
    shapes[2]!.push(1);
    extra.push({ name: 'never.computed', shape: [1], data: Float32Array.of(0) });
    write();
    writeFileSync(join(dir, 'case.json'), JSON.stringify({ kind: 'random', seeds: [7], shapes: [[5], [20], [2, 3]] }));
    assert.deepEqual(await failed(), [...names, 'never.computed']);
    writeFileSync(join(dir, 'case.json'), '{"kind":"unheard"}');
    assert.deepEqual(await failed(), ['case.json']);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('the command ends with its count and a status to match', () => {
  const command = (...args: string[]): { status: number | null; last: string | undefined } => {
    const { status, stdout } = spawnSync(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], { encoding: 'utf8' });
    return { status, last: stdout.trimEnd().split('\n').at(-1) };
  };
  const dir = mkdtempSync(join(tmpdir(), 'parity-'));
  try {
    assert.equal(command().status, 2);
    assert.deepEqual(command(dir), { status: 1, last: '0 passed, 1 failed' });
    writeFileSync(join(dir, 'case.json'), JSON.stringify({ kind: 'random', seeds: [1], shapes: [[3]] }));
    writeSafetensors(join(dir, 'outputs.safetensors'), [{ name: '1.float32.0', shape: [3], data: new Generator(1).randn([3]) }]);
    assert.deepEqual(command(dir, '--json'), { status: 0, last: '1 passed, 0 failed' });
    writeSafetensors(join(dir, 'outputs.safetensors'), [{ name: '1.float32.0', shape: [3], data: new Float32Array(3) }]);
    assert.deepEqual(command(dir), { status: 1, last: '0 passed, 1 failed' });
  } finally {
    rmSync(dir, { recursive: true });
  }
});

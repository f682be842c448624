/** @file The door to ONNX Runtime, both rooms: what goes in and comes out, what is refused and how, what is given back, and how a run or a process ends early. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Graph, type DType } from '../../native-models/graph/graph.ts';
import { encode, toBits } from '../../native-models/graph/onnx.ts';
import { openRuntime, probe } from '../../native-models/runtime/device.ts';
import { DeviceError } from '../../native-models/runtime/runtime.ts';
import { within } from '../support/time.ts';

const none = (): never => assert.fail('no weights');
/** y = 2 x, in the dtype. */
const twice = (dtype: DType, shape: readonly number[]): Uint8Array => {
  const g = new Graph();
  const x = g.input('x', shape, dtype);
  return encode(g, { y: dtype === 'bfloat16' ? g.Cast(g.Mul(g.Cast(x, { to: 'float32' }), 2), { to: dtype }) : g.Add(x, x) }, none);
};
/** Some seconds of products. */
const long = (): { bytes: Uint8Array; n: number } => {
  const g = new Graph();
  const n = 768;
  let x = g.input('x', [n, n]);
  for (let i = 0; i < 400; i++) x = g.FusedMatMul(x, x, { alpha: 1e-3 });
  return { bytes: encode(g, { y: x }, none), n };
};
const rejects = (promise: Promise<unknown>, message: RegExp, reason?: DeviceError['reason']): Promise<void> =>
  assert.rejects(
    promise,
    e => e instanceof Error && message.test(e.message) && (reason === undefined || (e instanceof DeviceError && e.reason === reason)),
  );

for (const room of ['binding', 'c-api'] as const)
  describe(`the ${room}`, async () => {
    const rt = await openRuntime({ device: 'cpu', room, threads: 1 });
    after(() => rt.release());

    test('says what it is', () => {
      assert.deepEqual([rt.device, rt.room], ['cpu', room]);
    });

    test('float32, float16 and int64 go in and come out, scalars and empty tensors too', async () => {
      const cases = [
        ['float32', [2, 2], Float32Array.of(1, -2, 3.5, 0), Float32Array.of(2, -4, 7, 0)],
        ['float16', [3], toBits([1, -2, 0.5], 'float16'), toBits([2, -4, 1], 'float16')],
        ['int64', [2], BigInt64Array.of(5n, -(2n ** 40n)), BigInt64Array.of(10n, -(2n ** 41n))],
        ['float32', [], Float32Array.of(21), Float32Array.of(42)],
        ['float32', [0, 3], new Float32Array(), new Float32Array()],
      ] as const;
      for (const [dtype, shape, input, output] of cases) {
        const program = await rt.load(twice(dtype, shape));
        assert.deepEqual([program.inputs, program.outputs], [['x'], ['y']]);
        const { y } = await program.run({ x: rt.tensor(dtype, shape, input) });
        assert.deepEqual([y!.dtype, [...y!.shape]], [dtype, [...shape]]);
        assert.deepEqual(await y!.read(), output);
        program.release();
      }
    });

    test('a tensor is a copy: of what was given, and of what is read', async () => {
      const program = await rt.load(twice('float32', [2]));
      const given = Float32Array.of(1, 2);
      const x = rt.tensor('float32', [2], given);
      given.fill(9);
      ((await x.read()) as Float32Array).fill(9);
      const { y } = await program.run({ x });
      const first = (await y!.read()) as Float32Array;
      assert.deepEqual(first, Float32Array.of(2, 4));
      first.fill(9);
      const again = await program.run({ x: y! }); // what one run returns the next one takes
      assert.deepEqual(await again['y']!.read(), Float32Array.of(4, 8));
    });

    test('refusals are sentences', async () => {
      const program = await rt.load(twice('float32', [2]), { name: 'Doubler' });
      const x = rt.tensor('float32', [2], Float32Array.of(1, 2));
      const other = await openRuntime({ device: 'cpu', room, threads: 1 });
      const foreign = other.tensor('float32', [2], Float32Array.of(1, 2));
      await rejects(program.run({}), /^Doubler: input x is missing$/);
      await rejects(program.run({ x, z: x }), /^Doubler has no input z; it takes x$/);
      if (room === 'c-api')
        await rejects(
          program.run({ x: foreign }),
          /^Doubler: input x is released or of another runtime; make it with this runtime's tensor\(\)$/,
        );
      await rejects(
        program.run({ x: rt.tensor('float32', [3], new Float32Array(3)) }),
        /^Doubler: ONNX Runtime: .*invalid dimensions/,
        'other',
      );
      assert.throws(() => rt.tensor('float32', [3], Float32Array.of(1)), { message: 'tensor: 1 numbers do not fill float32[3]' });
      assert.throws(() => rt.tensor('int64', [1], Float32Array.of(1)), {
        message: 'tensor: int64 takes a BigInt64Array, not a Float32Array',
      });
      await rejects(rt.load(Uint8Array.of(1, 2, 3), { name: 'Junk' }), /^Junk: ONNX Runtime: .*[Pp]rotobuf/, 'other');
      x.release();
      x.release();
      await rejects(program.run({ x }), /input x is released/);
      await rejects(x.read(), /^read: the tensor was released$/);
      program.release();
      program.release();
      await rejects(program.run({ x }), /^Doubler: the program was released$/);
      other.release();
    });

    test('weights that are not there', async () => {
      const g = new Graph();
      const y = g.Mul(g.input('x', [2]), g.initializer('w', [2]));
      const bytes = encode(g, { y }, () => ({ location: 'no/such/file.safetensors', offset: 0, length: 8 }));
      await rejects(
        rt.load(bytes, { name: 'Lost' }),
        /^Lost: its weights cannot be read where they were; has the checkpoint been moved or changed\? \(/,
        'weights',
      );
    });

    test('an aborted signal stops a run before it starts', async () => {
      const program = await rt.load(twice('float32', [1]));
      const reason = new Error('enough');
      await assert.rejects(program.run({ x: rt.tensor('float32', [1], Float32Array.of(1)) }, AbortSignal.abort(reason)), reason);
    });

    test('what is released is given back', async () => {
      const bytes = twice('float32', [1 << 18]); // 1 MiB a tensor
      const once = async (): Promise<void> => {
        const program = await rt.load(bytes);
        const x = rt.tensor('float32', [1 << 18], new Float32Array(1 << 18));
        const { y } = await program.run({ x });
        await y!.read();
        for (const t of [x, y!]) t.release();
        program.release();
      };
      const resident = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1024;
      for (let i = 0; i < 30; i++) await once();
      const before = resident();
      for (let i = 0; i < 120; i++) await once();
      assert.ok(resident() - before < 60, `120 rounds of 3 MiB left ${(resident() - before).toFixed(0)} MiB behind`);
    });
  });

describe('what only the C API does', async () => {
  const rt = await openRuntime({ device: 'cpu', room: 'c-api', threads: 1 });
  after(() => rt.release());

  test('bfloat16 crosses the edge; the binding says that it cannot', async () => {
    const program = await rt.load(twice('bfloat16', [3]));
    const { y } = await program.run({ x: rt.tensor('bfloat16', [3], toBits([1, -3, 0.5], 'bfloat16')) });
    assert.deepEqual([y!.dtype, await y!.read()], ['bfloat16', toBits([2, -6, 1], 'bfloat16')]);
    const binding = await openRuntime({ device: 'cpu', room: 'binding', threads: 1 });
    assert.throws(() => binding.tensor('bfloat16', [1], Uint16Array.of(0)), /takes no bfloat16/);
  });

  test('a run leaves the event loop free, stops when told to, and the program runs again', async () => {
    const { bytes, n } = long();
    const program = await rt.load(bytes);
    const x = rt.tensor('float32', [n, n], new Float32Array(n * n).fill(0.1));
    const stop = new AbortController();
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    let asked = 0;
    const reason = new Error('told to');
    setTimeout(() => {
      asked = performance.now();
      x.release(); // in use: it stays until the run has ended
      stop.abort(reason);
    }, 150);
    await assert.rejects(program.run({ x }, stop.signal), reason);
    clearInterval(timer);
    assert.ok(performance.now() - asked < within(1000), `it took ${(performance.now() - asked).toFixed(0)} ms to stop`);
    assert.ok(ticks > 3, `the event loop ticked ${ticks} times`);
    const small = await rt.load(twice('float32', [1]));
    assert.deepEqual(await (await small.run({ x: rt.tensor('float32', [1], Float32Array.of(4)) }))['y']!.read(), Float32Array.of(8));
    program.release();
  });

  /** Runs a script beside this file; resolves with its exit code, signal, output and milliseconds from the word 'running' on. */
  const child = (
    script: string,
    flags: readonly string[] = [],
  ): Promise<{ code: number | null; signal: string | null; out: string; ms: number }> =>
    new Promise(resolve => {
      const prelude = `
        import { openRuntime } from ${JSON.stringify(new URL('../../native-models/runtime/device.ts', import.meta.url).href)};
        import { Graph } from ${JSON.stringify(new URL('../../native-models/graph/graph.ts', import.meta.url).href)};
        import { encode } from ${JSON.stringify(new URL('../../native-models/graph/onnx.ts', import.meta.url).href)};
        const rt = await openRuntime({ device: 'cpu', room: 'c-api', threads: 1 });
        const g = new Graph(); const n = 768; let y = g.input('x', [n, n]);
        for (let i = 0; i < 400; i++) y = g.FusedMatMul(y, y, { alpha: 1e-3 });
        const load = () => rt.load(encode(g, { y }, () => { throw new Error(); }));
        const x = rt.tensor('float32', [n, n], new Float32Array(n * n).fill(0.1));`;
      const process_ = spawn(process.execPath, [...flags, '--input-type=module', '-e', prelude + script], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let out = '';
      let since = performance.now();
      for (const stream of [process_.stdout, process_.stderr])
        stream.on('data', (chunk: Buffer) => {
          if (!out.includes('running') && String(chunk).includes('running')) since = performance.now();
          out += String(chunk);
        });
      process_.on('close', (code, signal) => resolve({ code, signal, out, ms: performance.now() - since }));
    });

  test('a process ends in the middle of a run, with its own exit status and at once', async () => {
    const ended = await child(
      `(await load()).run({ x }).catch(() => {}); setTimeout(() => { console.log('running'); process.exit(7); }, 200);`,
    );
    assert.deepEqual([ended.code, ended.signal, ended.out], [7, null, 'running\n']);
    assert.ok(ended.ms < within(3000), `${ended.ms.toFixed(0)} ms`);
  });

  test('a collected garbage takes no library, buffer or callback along', async () => {
    const script = `
      for (let i = 0; i < 5; i++) {
        const program = await load();
        const stop = new AbortController();
        const run = program.run({ x: rt.tensor('float32', [n, n], new Float32Array(n * n)) }, stop.signal).catch(e => e.name);
        for (let j = 0; j < 5; j++) { globalThis.gc(); await new Promise(r => setTimeout(r, 5)); }
        stop.abort();
        if ((await run) !== 'AbortError') throw new Error('not aborted');
        program.release();
      }
      rt.release();
      console.log('running');`;
    const ended = await child(script, ['--expose-gc']);
    assert.deepEqual([ended.code, ended.signal, ended.out], [0, null, 'running\n']);
  });

  test('releasing the runtime in the middle of a run waits for it', async () => {
    const script = `
      const program = await load();
      const stop = new AbortController();
      const run = program.run({ x }, stop.signal).catch(e => e.name);
      await new Promise(r => setTimeout(r, 100));
      rt.release();
      stop.abort();
      console.log('running', await run);`;
    const ended = await child(script);
    assert.deepEqual([ended.code, ended.signal, ended.out], [0, null, 'running AbortError\n']);
  });
});

test('every device says whether it is there, and why not', async () => {
  const found = await probe();
  assert.deepEqual(
    found.map(d => d.device),
    ['cpu', 'cuda'],
  );
  assert.ok(found.every(d => d.text.length > 5));
  assert.equal(found[0]!.available, true);
  if (!found[1]!.available) await rejects(openRuntime({ device: 'cuda' }), /^CUDA cannot be used: ./, 'library');
  const auto = await openRuntime({ device: 'auto' });
  assert.equal(auto.device, found[1]!.available ? 'cuda' : 'cpu');
  auto.release();
  await sleep(1);
});

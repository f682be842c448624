/** @file LoRA adapters: every form of key, where alpha comes from, scales, the released adapter of the paper by its shapes, and what is refused by name. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { checkAdapter, describe as describeFile, parseScaled, readAdapter } from '../../native-models/weights/lora.ts';
import { writeSafetensors, type NewTensor } from '../../native-models/weights/safetensors.ts';

const root = mkdtempSync(join(tmpdir(), 'weights-'));
after(() => rmSync(root, { recursive: true, force: true }));
let count = 0;
const folder = (): string => {
  const path = join(root, String(count++));
  mkdirSync(path);
  return path;
};
const zeros = (name: string, ...shape: number[]): NewTensor => ({ name, shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
const save = (
  tensors: readonly NewTensor[],
  metadata: Record<string, string> = {},
  path = join(folder(), 'adapter.safetensors'),
): string => {
  writeSafetensors(path, tensors, metadata);
  return path;
};

/** One linear module of rank 2, one convolution of rank 2. */
const pair = (prefix: string, a: string, b: string): NewTensor[] => [
  zeros(`${prefix}transformer_blocks.0.attn1.to_out.0.${a}.weight`, 2, 6),
  zeros(`${prefix}transformer_blocks.0.attn1.to_out.0.${b}.weight`, 5, 2),
  zeros(`${prefix}patch_embed.proj.${a}.weight`, 2, 16, 2, 2),
  zeros(`${prefix}patch_embed.proj.${b}.weight`, 5, 2, 1, 1),
];
const plain = pair('', 'lora_A', 'lora_B');
const modules = ['patch_embed.proj', 'transformer_blocks.0.attn1.to_out.0'];
const alphas = (path: string): Record<string, number> => {
  const found = [...readAdapter(path).modules].map(([name, m]) => [name, m.alpha] as const);
  return Object.fromEntries(found.toSorted());
};
const both = (alpha: number) => Object.fromEntries(modules.map(name => [name, alpha]));

describe('keys', () => {
  const forms = [['lora_A', 'lora_B'], ['lora_A.default', 'lora_B.default'], ['lora.down', 'lora.up'], ['lora_down', 'lora_up']] as const; // prettier-ignore
  for (const [a, b] of forms)
    for (const prefix of ['', 'transformer.', 'base_model.model.', 'base_model.model.transformer.'])
      test(`${prefix}…${a}.weight`, () => {
        const adapter = readAdapter(save(pair(prefix, a, b)));
        assert.deepEqual([...adapter.modules.keys()].toSorted(), modules);
        for (const { A, B, rank } of adapter.modules.values()) {
          assert.equal(rank, 2);
          assert.equal(A.shape[0], 2);
          assert.equal(B.shape[0], 5);
        }
        assert.equal(adapter.scale, 1);
      });
});

describe('alpha', () => {
  const alpha = (value: NewTensor['data'], shape: number[] = []): NewTensor => ({
    name: 'transformer_blocks.0.attn1.to_out.0.alpha',
    shape,
    data: value,
  });
  const packed = (config: Record<string, unknown>) => ({ lora_adapter_metadata: JSON.stringify(config) });

  test('an entry for the module comes first', () => {
    for (const tensor of [
      alpha(Float32Array.of(8)),
      alpha(Float32Array.of(8), [1]),
      alpha(BigInt64Array.of(8n)),
      { ...alpha(Uint16Array.of(0x4800)), dtype: 'F16' as const },
    ])
      assert.deepEqual(alphas(save([...plain, tensor], { lora_alpha: '16' })), { [modules[0]!]: 16, [modules[1]!]: 8 });
  });

  test('then the metadata: lora_alpha', () => {
    const path = save(plain, { lora_alpha: '16' });
    writeFileSync(join(path, '../adapter_config.json'), '{"lora_alpha":32}');
    assert.deepEqual(alphas(path), both(16));
    assert.deepEqual(readAdapter(path).notices, []);
  });

  test("then diffusers' lora_adapter_metadata, with and without the component before its keys", () => {
    assert.deepEqual(alphas(save(plain, packed({ lora_alpha: 12, r: 2, alpha_pattern: {}, rank_pattern: {} }))), both(12));
    assert.deepEqual(alphas(save(plain, packed({ 'transformer.lora_alpha': 12, 'transformer.r': 2 }))), both(12));
  });

  test('patterns are module names or their ends', () => {
    const of = (alpha_pattern: Record<string, number>) => alphas(save(plain, packed({ lora_alpha: 12, alpha_pattern })));
    const [conv, linear] = [modules[0]!, modules[1]!];
    assert.deepEqual(of({ 'attn1.to_out.0': 3 }), { [conv]: 12, [linear]: 3 });
    assert.deepEqual(of({ '^patch_embed\\.proj$': 3 }), { [conv]: 3, [linear]: 12 });
    assert.deepEqual(of({ '^proj': 3, 'out.0': 4 }), both(12)); // ^ is the whole path, and an end begins behind a dot
    assert.throws(() => of({ '(a+)+': 3 }), /The pattern "\(a\+\)\+" .* is an expression/);
  });

  test('then adapter_config.json beside the file', () => {
    const path = save(plain);
    writeFileSync(join(path, '../adapter_config.json'), '{"lora_alpha":32,"r":2,"rank_pattern":{},"alpha_pattern":null,"use_dora":false}');
    assert.deepEqual(alphas(path), both(32));
  });

  test('rank-stabilised adapters scale by the root of the rank', () => {
    const found = alphas(save(plain, packed({ lora_alpha: 12, use_rslora: true })));
    for (const value of Object.values(found)) assert.ok(Math.abs(value / 2 - 12 / Math.sqrt(2)) < 1e-12);
  });

  test('else it is the rank, with a notice', () => {
    const path = save(plain);
    assert.deepEqual(alphas(path), both(2));
    assert.match(readAdapter(path).notices.join(), /names no alpha for 2 of its 2 modules, so alpha is taken as the rank/);
    assert.match(readAdapter(save([...plain, alpha(Float32Array.of(8))])).notices.join(), /for 1 of its 2 modules/);
  });

  test('what is no number is refused', () => {
    assert.throws(() => alphas(save([...plain, alpha(Float32Array.of(NaN))])), /"transformer_blocks\.0\.attn1\.to_out\.0\.alpha" is NaN/);
    assert.throws(() => alphas(save([...plain, alpha(Float32Array.of(1, 2), [2])])), /is not one number/);
    for (const value of ['', 'x', 'Infinity', '1e999']) assert.throws(() => alphas(save(plain, { lora_alpha: value })), /lora_alpha in the metadata is not a number/, value); // prettier-ignore
    assert.throws(() => alphas(save(plain, { lora_adapter_metadata: '{' })), /is not valid JSON/);
    assert.throws(() => alphas(save(plain, { lora_adapter_metadata: '['.repeat(200_000) })), /is not valid JSON/);
    assert.throws(() => alphas(save(plain, { lora_adapter_metadata: '7' })), /is not a JSON object/);
    assert.throws(() => alphas(save(plain, packed({ lora_alpha: '12' }))), /lora_alpha in its lora_adapter_metadata is not a number/);
    assert.throws(() => alphas(save(plain, packed({ lora_alpha: 1, alpha_pattern: [] }))), /alpha_pattern .* is not an object/);
    assert.throws(() => alphas(save(plain, packed({ lora_alpha: 1, alpha_pattern: { a: 'b' } }))), /alpha_pattern of a .* is not a number/);
  });

  test('a rank that the description contradicts is refused', () => {
    assert.throws(() => alphas(save(plain, packed({ r: 4 }))), /has rank 2, but the file's own description says 4/);
    assert.deepEqual(alphas(save(plain, packed({ r: 4, rank_pattern: { proj: 2, 'to_out.0': 2 }, lora_alpha: 6 }))), both(6));
  });
});

describe("the paper's released adapter", () => {
  /** 676 bfloat16 tensors with the shapes of CogVideoX-5B, rank 128, in a sparse file: a gigabyte that takes no room. */
  const paper = (
    change: (name: string, shape: number[]) => number[] = (_, shape) => shape,
    metadata: Record<string, string> = {},
  ): string => {
    const targets: [string, number[], number[]][] = [
      ['patch_embed.proj', [128, 16, 2, 2], [3072, 128, 1, 1]],
      ['patch_embed.text_proj', [128, 4096], [3072, 128]],
    ];
    for (let i = 0; i < 42; i++)
      for (const [name, width, out] of [
        ['attn1.to_q', 3072, 3072],
        ['attn1.to_k', 3072, 3072],
        ['attn1.to_v', 3072, 3072],
        ['attn1.to_out.0', 3072, 3072],
        ['ff.net.0.proj', 3072, 12288],
        ['ff.net.2', 12288, 3072],
        ['norm1.linear', 512, 18432],
        ['norm2.linear', 512, 18432],
      ] as const)
        // prettier-ignore
        targets.push([`transformer_blocks.${i}.${name}`, [128, width], [out, 128]]);
    const header: Record<string, unknown> = { __metadata__: metadata };
    let at = 0;
    for (const [name, A, B] of targets)
      for (const [which, first] of [
        ['lora_A', A],
        ['lora_B', B],
      ] as const) {
        // prettier-ignore
        const shape = change(`${name}.${which}`, first);
        header[`transformer.${name}.${which}.weight`] = {
          dtype: 'BF16',
          shape,
          data_offsets: [at, (at += shape.reduce((a, b) => a * b, 2))],
        };
      }
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const path = join(folder(), 'adapter.safetensors');
    writeFileSync(path, Buffer.concat([length, text]));
    truncateSync(path, 8 + text.length + at);
    return path;
  };

  test('is known by its shapes: alpha 64, said in a notice', () => {
    const path = paper();
    const adapter = readAdapter(path);
    assert.equal(adapter.modules.size, 338);
    for (const { rank, alpha } of adapter.modules.values()) assert.deepEqual([rank, alpha], [128, 64]);
    assert.equal(adapter.notices.length, 1);
    assert.match(adapter.notices[0]!, /released adapter of the paper, so alpha is 64/);
    const found = describeFile(path);
    assert.deepEqual(
      [found['kind'], found['tensors'], found['rank'], found['alpha'], found['parameters']],
      ['LoRA', 676, 128, 64, 502_276_096],
    );
  });

  test('others of nearly its shapes keep the rule: 676 tensors of rank 64, or one other width', () => {
    for (const change of [
      (name: string, shape: number[]) => (name.endsWith('A') ? [64, ...shape.slice(1)] : [shape[0]!, 64, ...shape.slice(2)]),
      (name: string, shape: number[]) => (name === 'transformer_blocks.41.ff.net.2.lora_B' ? [3071, 128] : shape),
    ])
      assert.ok([...readAdapter(paper(change)).modules.values()].every(m => m.alpha === m.rank));
  });

  test('an alpha of its own goes before', () => {
    assert.ok([...readAdapter(paper(undefined, { lora_alpha: '32' })).modules.values()].every(m => m.alpha === 32));
  });
});

describe('refused by name', () => {
  const [a, b] = [zeros('m.lora_A.weight', 2, 6), zeros('m.lora_B.weight', 5, 2)];
  const cases: readonly (readonly [string, readonly NewTensor[], RegExp])[] = [
    ['an empty file', [], /holds no tensors/],
    ['an A without its B', [a], /m has no B to its A/],
    ['a B without its A', [b], /m has no A to its B/],
    ['an alpha alone', [zeros('m.alpha')], /m has an alpha but neither A nor B/],
    ['the same pair twice', [a, b, zeros('transformer.m.lora_A.weight', 2, 6)], /"transformer\.m\.lora_A\.weight" gives A of m a second time/],
    ['a text encoder', [a, b, zeros('text_encoder.m.lora_A.weight', 2, 6)], /adapts the text encoder.*"text_encoder\.m\.lora_A\.weight"/],
    ['a second text encoder', [zeros('text_encoder_2.m.lora_A.weight', 2, 6)], /adapts the text encoder/],
    ["kohya's text encoder", [zeros('lora_te1_m.lora_down.weight', 2, 6)], /adapts the text encoder/],
    ["kohya's joined names", [zeros('lora_unet_transformer_blocks_0_attn1_to_q.lora_down.weight', 2, 6)], /joined by underscores/],
    ['DoRA by PEFT', [a, b, zeros('m.lora_magnitude_vector', 5)], /is a DoRA.*"m\.lora_magnitude_vector"/],
    ['DoRA by PEFT, inside a module', [a, b, zeros('m.lora_magnitude_vector.default.weight', 5)], /is a DoRA/],
    ['DoRA by kohya', [a, b, zeros('m.dora_scale', 5)], /is a DoRA/],
    ['LoHa', [zeros('m.hada_w1_a', 5, 2)], /another kind of adapter/],
    ['LoKr', [zeros('m.lokr_w1', 5, 2)], /another kind of adapter/],
    ['a LoRA with biases', [a, b, zeros('m.lora_B.bias', 5)], /biases and embeddings/],
    ['a LoRA of an embedding', [zeros('m.lora_embedding_A', 2, 5)], /biases and embeddings/],
    ['weights in full', [a, b, zeros('m.weight', 5, 6)], /"m\.weight" is not a LoRA key/],
    ['rank 0', [zeros('m.lora_A.weight', 0, 6), zeros('m.lora_B.weight', 5, 0)], /do not fit each other/],
    ['rank 1025', [zeros('m.lora_A.weight', 1025, 6), zeros('m.lora_B.weight', 5, 1025)], /m has rank 1025; 1 to 1024/],
    ['two ranks in one pair', [a, zeros('m.lora_B.weight', 5, 3)], /A \[2,6\] and B \[5,3\] of m do not fit each other/],
    ['a transposed pair', [zeros('m.lora_A.weight', 6, 2), b], /do not fit each other/],
    ['a linear A with the B of a convolution', [a, zeros('m.lora_B.weight', 5, 2, 1, 1)], /do not fit each other/],
    ['a convolution whose B is not 1x1', [zeros('m.lora_A.weight', 2, 3, 1, 1), zeros('m.lora_B.weight', 5, 2, 3, 3)], /do not fit each other/],
    ['a vector', [zeros('m.lora_A.weight', 2), zeros('m.lora_B.weight', 5)], /do not fit each other/],
    ['8-bit floats', [{ name: 'm.lora_A.weight', shape: [2, 6], data: new Uint8Array(12), dtype: 'F8_E4M3' }, b], /"m\.lora_A\.weight" is F8_E4M3; F32, F16 and BF16/],
  ]; // prettier-ignore
  for (const [what, tensors, said] of cases)
    test(what, () => {
      const path = save(tensors);
      assert.throws(() => readAdapter(path), (error: Error) => said.test(error.message) && !error.message.includes('\n')); // prettier-ignore
    });

  test('DoRA by its description', () =>
    assert.throws(() => readAdapter(save([a, b], { lora_adapter_metadata: '{"use_dora":true}' })), /calls it a DoRA/));
  test('a pickle', () => {
    const path = join(folder(), 'adapter.safetensors');
    writeFileSync(path, Buffer.from('\x80\x02}q\0.', 'latin1'));
    assert.throws(() => readAdapter(path), { rule: 'pickle' });
  });
  test('a header beyond 16 MiB', () => {
    const path = join(folder(), 'adapter.safetensors');
    const head = Buffer.alloc(8);
    head.writeBigUInt64LE(17n * 2n ** 20n);
    writeFileSync(path, Buffer.concat([head, Buffer.from('{}'.padEnd(17 * 2 ** 20))]));
    assert.throws(() => readAdapter(path), { rule: 'headerTooLarge' });
  });
  test('a path that is not there, and a scale that is no number', () => {
    assert.throws(() => readAdapter(join(root, 'nowhere')), /There is no adapter/);
    assert.throws(() => readAdapter(save(plain), { scale: NaN }), /the scale NaN/);
  });
});

describe('a folder', () => {
  test('gives its one adapter, whatever training left beside it', () => {
    const dir = folder();
    const path = save(plain, {}, join(dir, 'pytorch_lora_weights_transformer.safetensors'));
    for (const name of ['optimizer.safetensors', 'scheduler.safetensors', 'checkpoint-100.safetensors', 'random_states_0.pkl'])
      writeFileSync(join(dir, name), 'x');
    assert.equal(readAdapter(dir, { scale: 0.5 }).scale, 0.5);
    assert.equal(readAdapter(dir).file, readAdapter(path).file);
  });
  test('without one, and with two', () => {
    const dir = folder();
    assert.throws(() => readAdapter(dir), /holds no adapter/);
    save(plain, {}, join(dir, 'a.safetensors'));
    save(plain, {}, join(dir, 'b.safetensors'));
    assert.throws(() => readAdapter(dir), /holds 2 adapters \(a\.safetensors, b\.safetensors\); give one/);
  });
});

describe('checked against a transformer', () => {
  const tensors = new Map([
    ['transformer_blocks.0.attn1.to_out.0.weight', { shape: [5, 6] }],
    ['patch_embed.proj.weight', { shape: [5, 16, 2, 2] }],
  ]);
  test('fits', () => checkAdapter(readAdapter(save(plain)), tensors));
  test('a module that is not there', () =>
    assert.throws(() => checkAdapter(readAdapter(save(plain)), new Map([...tensors].slice(1))), /adapts transformer_blocks\.0\.attn1\.to_out\.0, which this transformer does not have/)); // prettier-ignore
  test('another width, another kernel, a convolution on a linear weight', () => {
    for (const [name, shape] of [['transformer_blocks.0.attn1.to_out.0', [5, 7]], ['transformer_blocks.0.attn1.to_out.0', [4, 6]], ['patch_embed.proj', [5, 16, 1, 2]], ['patch_embed.proj', [5, 64]]] as const) // prettier-ignore
      assert.throws(() => checkAdapter(readAdapter(save(plain)), new Map([...tensors, [`${name}.weight`, { shape: [...shape] }]])), new RegExp(`made for another model: ${name} is \\[${shape.join(',')}\\] here`)); // prettier-ignore
  });
  test('values that are not numbers', () => {
    const damaged = plain.map((t, i) => (i === 3 ? { ...t, data: new Float32Array(10).fill(Infinity, 9) } : t));
    assert.throws(
      () => checkAdapter(readAdapter(save(damaged)), tensors),
      /"patch_embed\.proj\.lora_B\.weight" holds values that are not numbers/,
    );
  });
});

test('a trailing number is the scale', () => {
  const rows: readonly (readonly [string, string, number])[] = [
    ['a.safetensors', 'a.safetensors', 1],
    ['a.safetensors:0.8', 'a.safetensors', 0.8],
    ['a.safetensors:-1', 'a.safetensors', -1],
    ['a.safetensors:+.5', 'a.safetensors', 0.5],
    ['a.safetensors:1e-1', 'a.safetensors', 0.1],
    ['a.safetensors:0', 'a.safetensors', 0],
    ['a.safetensors:', 'a.safetensors:', 1],
    ['a.safetensors:x', 'a.safetensors:x', 1],
    ['a.safetensors:0.8x', 'a.safetensors:0.8x', 1],
    ['a:b.safetensors', 'a:b.safetensors', 1],
    ['a:b.safetensors:2', 'a:b.safetensors', 2],
    ['C:\\a.safetensors', 'C:\\a.safetensors', 1],
    ['C:\\a.safetensors:0.8', 'C:\\a.safetensors', 0.8],
    ['C:5', 'C:5', 1],
    [':5', ':5', 1],
    ['a\nb:5', 'a\nb', 5],
  ];
  for (const [argument, path, scale] of rows) assert.deepEqual(parseScaled(argument), { path, scale }, argument);
  assert.throws(() => parseScaled('aa:1e999'), /beyond any number/);
});

describe('described', () => {
  test('an adapter', () => {
    const found = describeFile(save(plain, { lora_alpha: '4', 'odd\u001b[31m': 'x'.repeat(400) }));
    assert.deepEqual(found, {
      kind: 'LoRA',
      modules: 2,
      rank: 2,
      alpha: 4,
      targets: ['attn1.to_out.0', 'patch_embed.proj'],
      tensors: 4,
      parameters: 12 + 10 + 128 + 10,
      bytes: 640,
      dtypes: { F32: 4 },
      metadata: { lora_alpha: '4', 'odd\\u001b[31m': `${'x'.repeat(300)}…` },
    });
  });
  test('an adapter that cannot be used says why', () => {
    assert.match(String(describeFile(save([plain[0]!]))['problem']), /has no B to its A/);
    assert.match(String(describeFile(save([zeros('text_encoder.m.lora_A.weight', 2, 6)]))['problem']), /text encoder/);
  });
  test('a component, its weight file, and any other file', () => {
    const dir = folder();
    writeFileSync(join(dir, 'config.json'), '{"_class_name":"CogVideoXTransformer3DModel"}');
    const path = save([zeros('a.weight', 3)], {}, join(dir, 'diffusion_pytorch_model.safetensors'));
    assert.deepEqual(describeFile(dir), {
      kind: 'component',
      class: 'CogVideoXTransformer3DModel',
      files: 1,
      tensors: 1,
      parameters: 3,
      bytes: 12,
      dtypes: { F32: 1 },
    });
    assert.equal(describeFile(path)['kind'], 'weights of a CogVideoXTransformer3DModel');
    assert.equal(describeFile(save([zeros('a.weight', 3)]))['kind'], 'safetensors');
    writeFileSync(join(dir, 'config.json'), '{}');
    assert.match(String(describeFile(dir)['problem']), /names no class/);
  });
});

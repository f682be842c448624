/** @file Checkpoint folders: whole, in shards, as variants, in the Hugging Face cache, and every way in which one is broken. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { bind, identity, openCheckpoint, openComponent, readObject } from '../../native-models/weights/checkpoint.ts';
import { readTensor, writeSafetensors } from '../../native-models/weights/safetensors.ts';

const root = mkdtempSync(join(tmpdir(), 'weights-'));
after(() => rmSync(root, { recursive: true, force: true }));
let count = 0;
const folder = (): string => {
  const path = join(root, String(count++));
  mkdirSync(path);
  return path;
};
const json = (path: string, value: unknown): void => writeFileSync(path, JSON.stringify(value));
const tensor = (name: string, ...values: number[]) => ({ name, shape: [values.length], data: Float32Array.from(values) });

/** A checkpoint of five components with a few numbers each. */
function checkpoint(): string {
  const dir = folder();
  for (const name of ['transformer', 'vae', 'text_encoder', 'tokenizer', 'scheduler']) mkdirSync(join(dir, name));
  json(join(dir, 'model_index.json'), {
    _class_name: 'CogVideoXPipeline',
    _diffusers_version: '0.42.1',
    transformer: ['diffusers', 'CogVideoXTransformer3DModel'],
    vae: ['diffusers', 'AutoencoderKLCogVideoX'],
    text_encoder: ['transformers', 'T5EncoderModel'],
    tokenizer: ['transformers', 'T5Tokenizer'],
    scheduler: ['diffusers', 'CogVideoXDDIMScheduler'],
  });
  json(join(dir, 'transformer/config.json'), { _class_name: 'CogVideoXTransformer3DModel', odd_key: null, norm_eps: 1e-5 });
  json(join(dir, 'vae/config.json'), { _class_name: 'AutoencoderKLCogVideoX' });
  json(join(dir, 'text_encoder/config.json'), { architectures: ['T5EncoderModel'], d_model: 4 });
  json(join(dir, 'scheduler/scheduler_config.json'), { num_train_timesteps: 1000 });
  writeFileSync(join(dir, 'tokenizer/spiece.model'), 'pieces');
  writeSafetensors(join(dir, 'transformer/diffusion_pytorch_model.safetensors'), [tensor('a.weight', 1, 2), tensor('a.bias', 3)]);
  writeSafetensors(join(dir, 'vae/diffusion_pytorch_model.safetensors'), [tensor('v', 4)]);
  writeSafetensors(join(dir, 'text_encoder/model.safetensors'), [tensor('shared.weight', 5)]);
  return dir;
}

/** Puts the transformer into two shards with an index, which `change` may damage. */
function shards(
  dir: string,
  change: (index: { metadata: Record<string, unknown>; weight_map: Record<string, string> }) => void = () => undefined,
  stem = 'diffusion_pytorch_model',
): string {
  const inside = join(dir, 'transformer');
  rmSync(join(inside, 'diffusion_pytorch_model.safetensors'), { force: true });
  const names = [1, 2].map(i => `${stem}-0000${i}-of-00002.safetensors`);
  writeSafetensors(join(inside, names[0]!), [tensor('a.weight', 1, 2)]);
  writeSafetensors(join(inside, names[1]!), [tensor('a.bias', 3)]);
  const index = { metadata: { total_size: 12 }, weight_map: { 'a.weight': names[0]!, 'a.bias': names[1]! } };
  change(index);
  json(join(inside, 'diffusion_pytorch_model.safetensors.index.json'), index);
  return dir;
}

const values = (dir: string): Record<string, number[]> =>
  Object.fromEntries([...openCheckpoint(dir).component('transformer').tensors].map(([name, t]) => [name, [...readTensor(t)]]));
const whole = { 'a.weight': [1, 2], 'a.bias': [3] };
const sorted = (record: Record<string, unknown>) => Object.fromEntries(Object.entries(record).toSorted());

describe('opened', () => {
  test('a whole checkpoint, config verbatim', () => {
    const opened = openCheckpoint(checkpoint());
    const transformer = opened.component('transformer');
    assert.equal(transformer.className, 'CogVideoXTransformer3DModel');
    assert.deepEqual(transformer.config, { _class_name: 'CogVideoXTransformer3DModel', odd_key: null, norm_eps: 1e-5 });
    assert.equal(opened.component('transformer'), transformer);
    assert.equal(opened.component('text_encoder').className, 'T5EncoderModel');
    assert.deepEqual(opened.scheduler().config, { num_train_timesteps: 1000 });
    assert.equal(readFileSync(opened.tokenizerFile(), 'utf8'), 'pieces');
    assert.deepEqual([...opened.classNames.keys()], ['transformer', 'vae', 'text_encoder', 'tokenizer', 'scheduler']);
    assert.deepEqual(transformer.notices, []);
  });

  test('two shards with an index', () => {
    const dir = shards(checkpoint());
    assert.deepEqual(sorted(values(dir)), sorted(whole));
    const component = openCheckpoint(dir).component('transformer');
    assert.deepEqual(
      component.files.map(f => f.slice(-27)),
      ['-00001-of-00002.safetensors', '-00002-of-00002.safetensors'],
    );
    assert.deepEqual(component.notices, []);
  });

  test('diffusers prefers shards to a single file, transformers the single file', () => {
    const dir = shards(checkpoint());
    writeSafetensors(join(dir, 'transformer/diffusion_pytorch_model.safetensors'), [tensor('stale', 9)]);
    assert.deepEqual(sorted(values(dir)), sorted(whole));
    json(join(dir, 'text_encoder/model.safetensors.index.json'), { weight_map: { stale: 'model-00001-of-00001.safetensors' } });
    assert.deepEqual([...openCheckpoint(dir).component('text_encoder').tensors.keys()], ['shared.weight']);
  });

  test('variants when there is nothing else: fp16 first, then by name; plain names win', () => {
    const dir = checkpoint();
    const at = (variant: string) => join(dir, `transformer/diffusion_pytorch_model${variant}.safetensors`);
    writeSafetensors(at('.bf16'), [tensor('bf16', 1)]);
    writeSafetensors(at('.fp16'), [tensor('fp16', 1)]);
    writeSafetensors(at('.non_ema'), [tensor('non_ema', 1)]);
    const only = () => [...openCheckpoint(dir).component('transformer').tensors.keys()].join();
    assert.equal(only(), 'a.bias,a.weight');
    unlinkSync(at(''));
    assert.equal(only(), 'fp16');
    unlinkSync(at('.fp16'));
    assert.equal(only(), 'bf16');
  });

  test('shards of a variant', () => {
    for (const stem of ['diffusion_pytorch_model.fp16', 'diffusion_pytorch_model']) {
      const dir = shards(checkpoint(), undefined, stem);
      const inside = join(dir, 'transformer');
      cpSync(
        join(inside, 'diffusion_pytorch_model.safetensors.index.json'),
        join(inside, 'diffusion_pytorch_model.safetensors.index.fp16.json'),
      );
      unlinkSync(join(inside, 'diffusion_pytorch_model.safetensors.index.json'));
      assert.deepEqual(sorted(values(dir)), sorted(whole));
    }
  });

  test(
    'the Hugging Face cache: every file a link into blobs, the identity as without',
    { skip: process.platform === 'win32' && 'links need rights on Windows' },
    async () => {
      const plain = shards(checkpoint());
      const cache = folder();
      mkdirSync(join(cache, 'blobs'));
      const snapshot = join(cache, 'snapshots/8fc5b281');
      mkdirSync(snapshot, { recursive: true });
      for (const name of ['transformer', 'vae', 'text_encoder', 'tokenizer', 'scheduler']) mkdirSync(join(snapshot, name));
      const files = [
      'model_index.json', 'scheduler/scheduler_config.json', 'tokenizer/spiece.model', 'vae/config.json', 'vae/diffusion_pytorch_model.safetensors', 'text_encoder/config.json', 'text_encoder/model.safetensors',
      'transformer/config.json', 'transformer/diffusion_pytorch_model.safetensors.index.json', 'transformer/diffusion_pytorch_model-00001-of-00002.safetensors', 'transformer/diffusion_pytorch_model-00002-of-00002.safetensors',
    ]; // prettier-ignore
      for (const file of files) {
        const bytes = readFileSync(join(plain, file));
        const blob = createHash('sha256').update(bytes).digest('hex');
        writeFileSync(join(cache, 'blobs', blob), bytes);
        symlinkSync(join('../..', file.includes('/') ? '..' : '', 'blobs', blob), join(snapshot, file));
      }
      assert.deepEqual(sorted(values(snapshot)), sorted(whole));
      const opened = openCheckpoint(snapshot);
      assert.ok(opened.component('transformer').files.every(file => file.includes('/blobs/')));
      assert.equal(await identity(opened), await identity(openCheckpoint(plain)));
      assert.throws(
        () => openCheckpoint(cache),
        /is a folder of the Hugging Face cache; give the checkpoint inside it, .*snapshots.8fc5b281/,
      );
    },
  );
});

/** [what is broken, how, what is said]: one sentence without a stack, naming the thing. */
const broken: readonly (readonly [string, (dir: string) => void, RegExp])[] = [
  [
    'no model_index.json',
    dir => unlinkSync(join(dir, 'model_index.json')),
    /holds no model_index\.json, so it is not a checkpoint in the diffusers layout/,
  ],
  ['model_index.json that is no JSON', dir => writeFileSync(join(dir, 'model_index.json'), '{"a":'), /model_index\.json is not valid JSON/],
  ['model_index.json that is no object', dir => writeFileSync(join(dir, 'model_index.json'), '[]'), /does not hold a JSON object/],
  [
    'model_index.json that is not UTF-8',
    dir => writeFileSync(join(dir, 'model_index.json'), Buffer.from('{"a":"\xff"}', 'latin1')),
    /is not valid JSON/,
  ],
  [
    'a component that is not named',
    dir => json(join(dir, 'model_index.json'), { vae: ['diffusers', 'AutoencoderKLCogVideoX'] }),
    /names no transformer/,
  ],
  ['a class that is not known', dir => json(join(dir, 'model_index.json'), { transformer: ['diffusers', 'WanTransformer3DModel'] }), /is a WanTransformer3DModel, which is not supported; supported: CogVideoXTransformer3DModel/], // prettier-ignore
  ['two names for one class', dir => json(join(dir, 'transformer/config.json'), { _class_name: 'AutoencoderKLCogVideoX' }), /calls the transformer a CogVideoXTransformer3DModel, but its config\.json a AutoencoderKLCogVideoX/], // prettier-ignore
  ['a missing folder', dir => rmSync(join(dir, 'transformer'), { recursive: true }), /The folder .*transformer is missing; download/],
  ['a missing config', dir => unlinkSync(join(dir, 'transformer/config.json')), /transformer.config\.json is missing; download/],
  ['a config without a class', dir => json(join(dir, 'transformer/config.json'), {}), /names no class/],
  ['no weights', dir => unlinkSync(join(dir, 'transformer/diffusion_pytorch_model.safetensors')), /holds no weights/],
  ['truncated weights', dir => writeFileSync(join(dir, 'transformer/diffusion_pytorch_model.safetensors'), readFileSync(join(dir, 'transformer/diffusion_pytorch_model.safetensors')).subarray(0, -1)), /1 bytes of the tensors are missing at the end/], // prettier-ignore
  ['a Git LFS pointer', dir => writeFileSync(join(dir, 'transformer/diffusion_pytorch_model.safetensors'), 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n'), /Git LFS pointer.*git lfs pull/], // prettier-ignore
  ['pickles only', dir => {
    unlinkSync(join(dir, 'transformer/diffusion_pytorch_model.safetensors'));
    writeFileSync(join(dir, 'transformer/diffusion_pytorch_model.bin'), Buffer.from('\x80\x02}q\0.', 'latin1'));
  }, /only as a Python pickle \(diffusion_pytorch_model\.bin\), which can run code.*get the \.safetensors version/], // prettier-ignore
  ['a pickle called safetensors', dir => writeFileSync(join(dir, 'transformer/diffusion_pytorch_model.safetensors'), Buffer.from('\x80\x02}q\0.', 'latin1')), /this is a Python pickle/], // prettier-ignore
  ['a missing shard', dir => unlinkSync(join(shards(dir), 'transformer/diffusion_pytorch_model-00002-of-00002.safetensors')), /The shard .*-00002-of-00002\.safetensors is missing; .*index\.json names it/], // prettier-ignore
  [
    'shards without index',
    dir => unlinkSync(join(shards(dir), 'transformer/diffusion_pytorch_model.safetensors.index.json')),
    /holds shards .* but not their index/,
  ],
  [
    'a shard name that leaves the folder',
    dir => shards(dir, i => (i.weight_map['a.bias'] = '../vae/diffusion_pytorch_model.safetensors')),
    /places "a\.bias" in "\.\.\/vae.*not the plain name/,
  ],
  ['an absolute shard name', dir => shards(dir, i => (i.weight_map['a.bias'] = '/etc/x.safetensors')), /not the plain name/],
  ['a shard name for Windows', dir => shards(dir, i => (i.weight_map['a.bias'] = '..\\vae\\x.safetensors')), /not the plain name/],
  ['a shard name with a stream', dir => shards(dir, i => (i.weight_map['a.bias'] = 'C:x.safetensors')), /not the plain name/],
  ['a shard name with NUL', dir => shards(dir, i => (i.weight_map['a.bias'] = 'x\0.safetensors')), /not the plain name/],
  ['a shard of another kind', dir => shards(dir, i => (i.weight_map['a.bias'] = 'config.json')), /not the plain name/],
  ['a tensor in another shard', dir => shards(dir, i => (i.weight_map['a.bias'] = i.weight_map['a.weight']!)), /lacks "a\.bias"/],
  ['a tensor in a shard, but not in the index', dir => shards(dir, i => delete (i.weight_map as Record<string, string | undefined>)['a.bias']) && writeSafetensors(join(dir, 'transformer/diffusion_pytorch_model-00001-of-00002.safetensors'), [tensor('a.weight', 1, 2), tensor('more', 1)]), /holds "more", which .*index\.json does not name/], // prettier-ignore
  ['a tensor in two shards', dir => { shards(dir); writeSafetensors(join(dir, 'transformer/diffusion_pytorch_model-00001-of-00002.safetensors'), [tensor('a.weight', 1, 2), tensor('a.bias', 1)]); }, /holds "a\.bias", which .* places in .*-00002-/], // prettier-ignore
  ['an index that names more', dir => shards(dir, i => (i.weight_map['ghost'] = i.weight_map['a.bias']!)), /lacks "ghost", which/],
  ['an index without a map', dir => shards(dir, i => { i.weight_map = {}; }), /has no weight_map/], // prettier-ignore
  ['an index that names a tensor twice', dir => { shards(dir); writeFileSync(join(dir, 'transformer/diffusion_pytorch_model.safetensors.index.json'), '{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}'); }, /index\.json is refused: the key "a" appears twice/], // prettier-ignore
  ['an index that breaks off', dir => { shards(dir); writeFileSync(join(dir, 'transformer/diffusion_pytorch_model.safetensors.index.json'), '{"weight_map":{'); }, /index\.json is refused: the JSON breaks/], // prettier-ignore
];

describe('broken', () => {
  for (const [what, damage, said] of broken)
    test(what, () => {
      const dir = checkpoint();
      damage(dir);
      assert.throws(
        () => openCheckpoint(dir).component('transformer'),
        (error: Error) => error.constructor !== TypeError && said.test(error.message) && !error.message.includes('\n'),
      );
    });

  test('paths that are no checkpoint', () => {
    const dir = checkpoint();
    assert.throws(() => openCheckpoint(join(dir, 'nowhere')), /There is no checkpoint folder/);
    assert.throws(() => openCheckpoint(join(dir, 'model_index.json')), /is a file, not a checkpoint/);
    assert.throws(() => openCheckpoint(join(dir, 'transformer')), /is one component of a checkpoint; give the folder above it/);
    assert.throws(() => openComponent(join(dir, 'nowhere')), /is missing/);
  });

  test('scheduler and tokenizer', () => {
    const dir = checkpoint();
    unlinkSync(join(dir, 'scheduler/scheduler_config.json'));
    unlinkSync(join(dir, 'tokenizer/spiece.model'));
    assert.throws(() => openCheckpoint(dir).scheduler(), /scheduler_config\.json is missing/);
    assert.throws(() => openCheckpoint(dir).tokenizerFile(), /spiece\.model is missing/);
  });

  test('a wrong total is said, not refused', () => {
    const dir = shards(checkpoint(), i => (i.metadata['total_size'] = 24));
    assert.match(openCheckpoint(dir).component('transformer').notices[0]!, /claims 24 bytes of tensors, the shards hold 12/);
  });

  test('a configuration of 65 MiB', () => {
    const path = join(folder(), 'config.json');
    writeFileSync(path, Buffer.alloc(65 * 2 ** 20, 0x20));
    assert.throws(() => readObject(path), /more than a configuration may have/);
  });
});

describe('bound', () => {
  const wanted = [
    { name: 'a.bias', shape: [1] },
    { name: 'a.weight', shape: [2] },
  ];
  test('in the order wanted', () => {
    const found = bind(wanted, openCheckpoint(checkpoint()).component('transformer'));
    assert.deepEqual([...found].map(([name, t]) => [name, t.name, t.shape]), [['a.bias', 'a.bias', [1]], ['a.weight', 'a.weight', [2]]]); // prettier-ignore
  });

  test('strictly both ways: all faults in one sentence', () => {
    const component = openCheckpoint(checkpoint()).component('transformer');
    const many = Array.from({ length: 12 }, (_, i) => ({ name: `gone.${i}`, shape: [1] }));
    assert.throws(() => bind([...many, { name: 'a.weight', shape: [1, 2] }], component), {
      message:
        'The weights of the transformer do not fit its config.json (CogVideoXTransformer3DModel): 12 tensors are missing: gone.0, gone.1, gone.2, gone.3, gone.4 and 7 more; ' +
        '1 tensors are not known: a.bias; 1 tensors do not fit: a.weight is [2] instead of [1,2].',
    });
    assert.equal(bind(wanted.slice(0, 1), component, ['a.weight']).size, 1);
    assert.throws(() => bind(wanted.slice(0, 1), component), /not known: a\.weight/);
  });

  test('dtypes that cannot be computed with', () => {
    const file = join(folder(), 'config.json');
    json(file, { _class_name: 'X' });
    writeSafetensors(join(file, '../model.safetensors'), [{ name: 'a', shape: [2], data: Uint8Array.of(1, 2), dtype: 'F8_E4M3' }]);
    assert.throws(() => bind([{ name: 'a', shape: [2] }], openComponent(join(file, '..'))), /a is F8_E4M3 instead of F32, F16 or BF16/);
  });

  test("T5's tied embedding: beside its twin, in its place, but not alone", () => {
    const dir = checkpoint();
    const file = join(dir, 'text_encoder/model.safetensors');
    const get = () =>
      bind([{ name: 'shared.weight', shape: [1] }], openCheckpoint(dir).component('text_encoder')).get('shared.weight')!.name;
    assert.equal(get(), 'shared.weight');
    writeSafetensors(file, [tensor('shared.weight', 5), tensor('encoder.embed_tokens.weight', 5)]);
    assert.equal(get(), 'shared.weight');
    writeSafetensors(file, [tensor('encoder.embed_tokens.weight', 5)]);
    assert.equal(get(), 'encoder.embed_tokens.weight');
    writeSafetensors(file, [tensor('decoder.embed_tokens.weight', 5)]);
    assert.throws(get, /1 tensors are missing: shared\.weight; 1 tensors are not known: decoder/);
    assert.throws(
      () =>
        bind(wanted, { ...openCheckpoint(dir).component('transformer'), tensors: openCheckpoint(dir).component('text_encoder').tensors }),
      /missing/,
    );
  });
});

describe('identity', () => {
  test('is SHA-256 of the bytes, and follows content, not names or times', async () => {
    const dir = folder();
    writeFileSync(join(dir, 'a'), 'abc');
    assert.equal(await identity(join(dir, 'a')), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    const [one, two] = [openCheckpoint(checkpoint()), openCheckpoint(checkpoint())];
    assert.equal(await identity(one), await identity(two));
    assert.equal(await identity(one.component('vae')), await identity(two.component('vae')));
    assert.notEqual(await identity(one.component('vae')), await identity(one.component('transformer')));
    for (const file of [
      'transformer/diffusion_pytorch_model.safetensors',
      'text_encoder/config.json',
      'scheduler/scheduler_config.json',
      'tokenizer/spiece.model',
    ]) {
      const changed = checkpoint();
      const path = join(changed, file);
      const bytes = readFileSync(path);
      if (file.endsWith('.json')) writeFileSync(path, `${bytes.toString()} `);
      else writeFileSync(path, bytes.fill(bytes.at(-1)! ^ 1, bytes.length - 1));
      assert.notEqual(await identity(openCheckpoint(changed)), await identity(one), file);
    }
  });

  test('is computed again when the file has changed, and not while it has not', async () => {
    const file = join(folder(), 'a');
    writeFileSync(file, 'abc');
    const first = await identity(file);
    assert.equal(await identity(file), first);
    writeFileSync(file, 'abd');
    utimesSync(file, 1, 1);
    assert.notEqual(await identity(file), first);
  });

  test('an abort stops it, and is not remembered', async () => {
    const file = join(folder(), 'a');
    writeFileSync(file, Buffer.alloc(2 ** 24));
    await assert.rejects(identity(file, AbortSignal.abort()), { name: 'AbortError' });
    assert.equal(
      await identity(file),
      createHash('sha256')
        .update(Buffer.alloc(2 ** 24))
        .digest('hex'),
    );
  });
});

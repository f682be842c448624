/** @file `checkpoint` and `adapter`. */
import type { Adapter, Checkpoint } from '../contract/records.ts';
import { UsageError } from './arguments.ts';
import { deletesForGood } from './ask.ts';
import { adapterOf, checkpointOf, pathOf, subjectOf } from './names.ts';
import { card, size, table } from './print.ts';
import { onlyGiven, verb, type Answer } from './verb.ts';

const checkpointAnswer = (checkpoint: Checkpoint, text: string): Answer => ({ json: { type: 'checkpoint', checkpoint }, text: [text] });
const adapterAnswer = (adapter: Adapter, text: string): Answer => ({ json: { type: 'adapter', adapter }, text: [text] });

export const checkpointVerbs = [
  verb({
    name: 'checkpoint list',
    takes: '',
    help: 'the models that clips can be made with',
    uses: ['checkpoints.list'],
    act: async ({ client }) => {
      const { checkpoints } = await client.checkpoints.list({});
      const rows = checkpoints.map(({ recommended: r, ...k }) => [
        k.id,
        k.isDefault ? 'default' : '',
        size(k.bytes),
        `${r.width}x${r.height}, ${r.numFrames} frames, ${r.numInferenceSteps} steps`,
        k.missing ? 'missing' : '',
        k.name,
      ]);
      return { json: { type: 'checkpoints', checkpoints }, text: table(['id', '', 'size>', 'recommended', '', 'name'], rows) };
    },
  }),
  verb({
    name: 'checkpoint add',
    takes: 'DIR',
    help: 'a diffusers CogVideoX folder, used where it lies; read whole once',
    options: { name: ['text', 'NAME', "what it is called (the folder's name if not given)"] },
    uses: ['checkpoints.add'],
    act: async ({ client, words: [dir], options: { name } }) => {
      const checkpoint = await client.checkpoints.add({ path: pathOf(dir!), ...onlyGiven({ name }) });
      return checkpointAnswer(checkpoint, `${checkpoint.name} is ${checkpoint.id}, ${size(checkpoint.bytes)}`);
    },
  }),
  verb({
    name: 'checkpoint default',
    takes: 'CHECKPOINT',
    help: 'take this one unless another is named; CHECKPOINT is k2 or its name',
    uses: ['checkpoints.list', 'checkpoints.edit'],
    act: async ({ client, words: [word] }) => {
      const checkpoint = await client.checkpoints.edit({ id: (await checkpointOf(client, word!)).id, isDefault: true });
      return checkpointAnswer(checkpoint, `${checkpoint.name} (${checkpoint.id}) is the default`);
    },
  }),
  verb({
    name: 'checkpoint rename',
    takes: 'CHECKPOINT NAME',
    help: 'call it something else',
    uses: ['checkpoints.list', 'checkpoints.edit'],
    act: async ({ client, words: [word, name] }) => {
      const checkpoint = await client.checkpoints.edit({ id: (await checkpointOf(client, word!)).id, name: name! });
      return checkpointAnswer(checkpoint, `${checkpoint.id} is now ${checkpoint.name}`);
    },
  }),
  verb({
    name: 'checkpoint find',
    takes: 'CHECKPOINT DIR',
    help: 'say where a missing one is now',
    uses: ['checkpoints.list', 'checkpoints.find'],
    act: async ({ client, words: [word, dir] }) => {
      const checkpoint = await client.checkpoints.find({ id: (await checkpointOf(client, word!)).id, path: pathOf(dir!) });
      return checkpointAnswer(checkpoint, `${checkpoint.name} (${checkpoint.id}) is there again`);
    },
  }),
  verb({
    name: 'checkpoint verify',
    takes: 'CHECKPOINT',
    help: 'read every byte of it again and hold it against what it was',
    uses: ['checkpoints.list', 'checkpoints.verify'],
    act: async ({ client, words: [word] }) => {
      const checkpoint = await client.checkpoints.verify({ id: (await checkpointOf(client, word!)).id });
      return checkpointAnswer(checkpoint, `${checkpoint.name} (${checkpoint.id}) is sound, ${size(checkpoint.bytes)}`);
    },
  }),
  verb({
    name: 'checkpoint where',
    takes: 'CHECKPOINT',
    help: 'the folder that it lies in',
    uses: ['checkpoints.list', 'media.locate'],
    act: async ({ client, words: [word] }) => {
      const { id } = await checkpointOf(client, word!),
        { path } = await client.media.locate({ id });
      return { json: { type: 'place', id, path }, text: [path] };
    },
  }),
  verb({
    name: 'checkpoint remove',
    takes: 'CHECKPOINT',
    help: 'take it off the list; its files stay, unless they were downloaded and --files says so',
    options: {
      files: ['flag', '', 'with the files that were downloaded into the library'],
      yes: ['flag', '', 'do not ask'],
    },
    uses: ['checkpoints.list', 'checkpoints.remove'],
    act: async ({ client, words: [word], options, signal }) => {
      const { id, name } = await checkpointOf(client, word!),
        { files = false } = options;
      if (files && !(await deletesForGood(`the files of ${name}`, options, signal)))
        return { json: { type: 'removed', id: null, bytes: 0 }, text: ['nothing was deleted'], status: 130 };
      const { bytes } = await client.checkpoints.remove({ id, files });
      return {
        json: { type: 'removed', id, bytes },
        text: [`${name} (${id}) is off the list; ${files ? `its files are deleted, ${size(bytes)} freed` : 'its files stay'}`],
      };
    },
  }),
] as const;

const subjectIds = (client: Parameters<typeof subjectOf>[0], words: readonly string[]) =>
  Promise.all(words.filter(w => w !== 'none').map(async word => (await subjectOf(client, word)).id));

export const adapterVerbs = [
  verb({
    name: 'adapter list',
    takes: '',
    help: 'the LoRAs that clips can be made with',
    uses: ['adapters.list'],
    act: async ({ client }) => {
      const { adapters } = await client.adapters.list({});
      const rows = adapters.map(a => [
        a.id,
        a.rank === null ? '' : String(a.rank),
        String(a.scale),
        size(a.bytes),
        a.checkpointId ? `comes with ${a.checkpointId}` : a.subjects.join(' '),
        a.missing ? 'missing' : '',
        a.name,
      ]);
      return {
        json: { type: 'adapters', adapters },
        text: rows.length
          ? table(['id', 'rank>', 'scale>', 'size>', 'for', '', 'name'], rows)
          : ['no adapters yet: protagonist adapter add FILE brings one'],
      };
    },
  }),
  verb({
    name: 'adapter add',
    takes: 'FILE',
    help: 'a LoRA file or folder, used where it lies unless --copy is given',
    options: {
      copy: ['flag', '', 'the library keeps a copy of its own'],
      name: ['text', 'NAME', "what it is called (the file's name if not given)"],
      scale: ['number', 'X', 'what it is multiplied by (1)'],
      subject: ['each', 'S', 'taken for clips of this subject (@kelp or s1); again for each'],
    },
    uses: ['adapters.add', 'subjects.show'],
    act: async ({ client, words: [file], options: { name, scale, subject, copy } }) => {
      const subjects = subject && (await subjectIds(client, subject));
      const adapter = await client.adapters.add({ path: pathOf(file!), ...onlyGiven({ name, scale, subjects, copy }) });
      return adapterAnswer(
        adapter,
        `${adapter.name} is ${adapter.id}${adapter.rank === null ? '' : `, rank ${adapter.rank}`}, scale ${adapter.scale}`,
      );
    },
  }),
  verb({
    name: 'adapter inspect',
    takes: 'ADAPTER',
    help: 'what is in it, read anew; ADAPTER is a2 or its name',
    uses: ['adapters.list', 'adapters.inspect'],
    act: async ({ client, words: [word] }) => {
      const { id, name, scale, subjects } = await adapterOf(client, word!),
        found = await client.adapters.inspect({ id });
      const lines = card(`${id}  ${name}`, [
        ['rank', found.ranks.join(', ')],
        ['alpha', found.alphas.join(', ')],
        ['modules', String(found.modules)],
        ['trained on', found.transformerClass],
        ['size', size(found.bytes)],
        ['scale', String(scale)],
        ['for', subjects.join(' ')],
      ]);
      return { json: { type: 'inspected', id, ...found }, text: [...lines, ...found.notices] };
    },
  }),
  verb({
    name: 'adapter edit',
    takes: 'ADAPTER',
    help: 'change its name, scale or subjects; ADAPTER is a2 or its name',
    options: {
      name: ['text', 'NAME', 'what it is called'],
      scale: ['number', 'X', 'what it is multiplied by'],
      subject: ['each', 'S', "taken for clips of this subject; again for each; 'none' for no one"],
    },
    uses: ['adapters.list', 'adapters.edit', 'subjects.show'],
    act: async ({ client, words: [word], options: { name, scale, subject } }) => {
      if (name === undefined && scale === undefined && !subject)
        throw new UsageError('nothing to change: name --name, --scale or --subject');
      const { id } = await adapterOf(client, word!);
      const subjects = subject && (await subjectIds(client, subject));
      const adapter = await client.adapters.edit({ id, ...onlyGiven({ name, scale, subjects }) });
      return adapterAnswer(
        adapter,
        `${adapter.name} (${adapter.id}): scale ${adapter.scale}, ${adapter.subjects.length ? `for ${adapter.subjects.join(' ')}` : 'for no subject of its own'}`,
      );
    },
  }),
  verb({
    name: 'adapter find',
    takes: 'ADAPTER FILE',
    help: 'say where a missing one is now',
    uses: ['adapters.list', 'adapters.find'],
    act: async ({ client, words: [word, file] }) => {
      const adapter = await client.adapters.find({ id: (await adapterOf(client, word!)).id, path: pathOf(file!) });
      return adapterAnswer(adapter, `${adapter.name} (${adapter.id}) is there again`);
    },
  }),
  verb({
    name: 'adapter where',
    takes: 'ADAPTER',
    help: 'the file or folder that it lies in',
    uses: ['adapters.list', 'media.locate'],
    act: async ({ client, words: [word] }) => {
      const { id } = await adapterOf(client, word!),
        { path } = await client.media.locate({ id });
      return { json: { type: 'place', id, path }, text: [path] };
    },
  }),
  verb({
    name: 'adapter remove',
    takes: 'ADAPTER',
    help: "take it off the list; its file stays, but a copy of the library's own goes",
    uses: ['adapters.list', 'adapters.remove'],
    act: async ({ client, words: [word] }) => {
      const { id, name } = await adapterOf(client, word!);
      await client.adapters.remove({ id });
      return { json: { type: 'removed', id }, text: [`${name} (${id}) is off the list; a file outside the library stays`] };
    },
  }),
] as const;

/** @file `doctor` and `inspect`: this machine and single files, without a library. */
import { existsSync, statSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { asFailure } from '../../native-models/tasks.ts';
import { printable } from '../../native-models/weights/json.ts';
import { UsageError } from './arguments.ts';
import { printJson, printLines } from './print.ts';
import { toybox } from './toybox.ts';
import type { CommonValues, Verb } from './verb.ts';

export const doctor: Verb = {
  name: 'doctor',
  takes: '',
  help: 'what this machine has: devices, ffmpeg, checkpoint',
  options: {},
  uses: [],
  run: async (_, values) => {
    const { probe } = await import('../../native-models/runtime/device.ts');
    const { describeFfmpeg, findFfmpeg } = await import('../media/ffmpeg.ts');
    const { presets, unavailable } = await import('../media/presets.ts');
    const { openCheckpoint } = await import('../../native-models/weights/checkpoint.ts');
    const attempt = async <T>(what: () => T | Promise<T>) => {
      try {
        return { ok: true as const, value: await what() };
      } catch (e) {
        return { ok: false as const, text: asFailure(e).text };
      }
    };
    const [devices, ffmpeg, checkpoint] = await Promise.all([probe(), attempt(findFfmpeg), attempt(() => openCheckpoint(toybox).dir)]);
    const lacking = ffmpeg.ok ? presets.filter(preset => unavailable(preset, ffmpeg.value)).map(({ name }) => name) : [];
    const healthy = devices.some(d => d.available) && ffmpeg.ok && checkpoint.ok;
    const { node } = process.versions,
      platform = `${process.platform}-${process.arch}`,
      cores = cpus().length,
      memoryBytes = totalmem();
    if ((values as CommonValues).json)
      printJson({ type: 'doctor', healthy, node, platform, cores, memoryBytes, devices, ffmpeg, lacking, checkpoint });
    else {
      const line = (good: boolean, name: string, text: string) => `${good ? '✓' : '✗'} ${name.padEnd(11)} ${text}`;
      printLines([
        line(true, 'node', `${node} on ${platform}, ${cores} cores, ${(memoryBytes / 2 ** 30).toFixed(0)} GiB`),
        ...devices.map(d => line(d.available, d.device, d.text)),
        line(ffmpeg.ok, 'ffmpeg', ffmpeg.ok ? describeFfmpeg(ffmpeg.value) : ffmpeg.text),
        ...(ffmpeg.ok ? [line(!lacking.length, 'exports', lacking.length ? `not ${lacking.join(', ')}: that needs another ffmpeg` : 'every preset')] : []), // prettier-ignore
        line(checkpoint.ok, 'checkpoint', checkpoint.ok ? `Toybox, ${checkpoint.value}` : checkpoint.text),
      ]);
    }
    return healthy ? 0 : 1;
  },
};

export const inspect: Verb = {
  name: 'inspect',
  takes: 'FILE',
  help: 'a checkpoint folder, a LoRA, or a video and the request in it',
  options: {},
  uses: [],
  run: async ([word], values) => {
    const path = resolve(word!);
    if (!existsSync(path)) throw new UsageError(`there is no file ${path}`);
    const found = await describePath(path);
    if ((values as CommonValues).json) printJson({ type: 'inspect', path, ...found });
    else {
      printLines([basename(path)]);
      for (const [key, value] of Object.entries(found)) {
        const lines = typeof value === 'string' ? [value] : JSON.stringify(value, null, 2).split('\n');
        printLines(lines.map((line, i) => (i ? `  ${line}` : `  ${key}: ${line}`))); // a stranger's prompt may be in it
      }
    }
    return 0;
  },
};

/** What videos are called; one with another name is known by its first bytes. */
const videos = /\.(mp4|mov|m4v|mkv|webm|gif|webp|png)$/i;

async function describePath(path: string): Promise<Readonly<Record<string, unknown>>> {
  const { looksLikeVideo } = await import('../media/probe.ts');
  if (statSync(path).isDirectory() ? existsSync(join(path, 'frames.json')) : videos.test(path) || (await looksLikeVideo(path))) {
    const { describeClip } = await import('../media/metadata.ts');
    return describeClip(path);
  }
  const { describe } = await import('../../native-models/weights/lora.ts');
  if (!existsSync(join(path, 'model_index.json'))) return describe(path);
  const { openCheckpoint } = await import('../../native-models/weights/checkpoint.ts');
  const { recommendations } = await import('../../native-models/pipelines/recommended.ts');
  const checkpoint = openCheckpoint(path),
    parts = ['transformer', 'vae', 'text_encoder'].filter(name => checkpoint.classNames.has(name));
  return {
    kind: 'checkpoint',
    pipeline: printable(String(checkpoint.modelIndex['_class_name'])),
    scheduler: checkpoint.scheduler().className,
    recommended: recommendations(checkpoint),
    ...Object.fromEntries(parts.map(name => [name, describe(join(path, name))])),
  };
}

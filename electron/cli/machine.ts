/** @file What this machine has; `doctor` and `inspect`: the machine and single files, without a library. */
import { existsSync, statSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { asFailure } from '../../native-models/tasks.ts';
import { printable } from '../../native-models/weights/json.ts';
import type { Machine } from '../contract/records.ts';
import { startScript } from '../media/children.ts';
import { scriptAt } from '../media/program.ts';
import { UsageError } from './arguments.ts';
import { printJson, printLines } from './print.ts';
import { toybox } from './toybox.ts';
import type { CommonValues, Verb } from './verb.ts';

/** What a process that looks for devices says. */
const probes = z.array(
  z.object({
    device: z.enum(['cpu', 'cuda']),
    available: z.boolean(),
    text: z.string(),
    name: z.string().optional(),
    memoryBytes: z.number().optional(),
  }),
);
/** How long looking for devices may take: ms. */
const patience = 60_000;

/** Every device and what it is, by a process of its own; one that this process dies of is not there. */
async function findDevices(): Promise<z.infer<typeof probes>> {
  const child = startScript(scriptAt('./probe.ts', import.meta.url), [], ['--no-warnings', ...process.execArgv], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    timeout: patience,
    killSignal: 'SIGKILL',
  });
  const said = await new Promise<unknown>(resolve => {
    child.on('message', resolve);
    child.on('error', resolve);
    child.on('exit', (code, signal) => resolve(signal ?? `exit status ${code ?? 'none'}`));
  });
  const found = probes.safeParse(said);
  if (found.success) return found.data;
  const { devices } = await import('../../native-models/runtime/device.ts');
  const why = said instanceof Error ? said.message : String(said);
  return [
    await devices.cpu.probe(),
    { device: 'cuda', available: false, text: `looking for graphics cards ended too early (${why}): is their driver sound?` },
  ];
}

const attempt = async <T>(what: () => T | Promise<T>) => {
  try {
    return { ok: true as const, value: await what() };
  } catch (e) {
    return { ok: false as const, text: asFailure(e).text };
  }
};

/** Devices, processor, memory, and the ffmpeg that would be used. Some tenths of a second. */
async function findParts() {
  const { findFfmpeg } = await import('../media/ffmpeg.ts');
  const [found, ffmpeg] = await Promise.all([findDevices(), attempt(findFfmpeg)]);
  const all = cpus(),
    processor = all[0]?.model.trim().replaceAll(/\s+/g, ' ') || process.arch;
  const names = { cpu: processor, cuda: 'CUDA' };
  const devices = found.map(({ device, available, text, name = names[device], memoryBytes = null }) => ({
    device,
    name,
    available,
    memoryBytes,
    text,
  }));
  return { platform: `${process.platform}-${process.arch}`, processor, cores: all.length, ramBytes: totalmem(), devices, ffmpeg };
}

/** This machine for the library's clients. */
export async function lookAtMachine(): Promise<Machine> {
  const { ffmpeg, ...parts } = await findParts();
  return { ...parts, ffmpeg: ffmpeg.ok ? `ffmpeg ${ffmpeg.value.version} of ${ffmpeg.value.year}` : ffmpeg.text };
}

export const doctor: Verb = {
  name: 'doctor',
  takes: '',
  help: 'what this machine has: devices, ffmpeg, checkpoint',
  options: {},
  uses: [],
  run: async (_, values) => {
    const { describeFfmpeg } = await import('../media/ffmpeg.ts');
    const { presets, unavailable } = await import('../media/presets.ts');
    const { openCheckpoint } = await import('../../native-models/weights/checkpoint.ts');
    const [parts, checkpoint] = await Promise.all([findParts(), attempt(() => openCheckpoint(toybox).dir)]);
    const { platform, processor, cores, ramBytes: memoryBytes, devices, ffmpeg } = parts;
    const lacking = ffmpeg.ok ? presets.filter(preset => unavailable(preset, ffmpeg.value)).map(({ name }) => name) : [];
    const healthy = devices.some(d => d.available) && ffmpeg.ok && checkpoint.ok;
    const { node } = process.versions;
    if ((values as CommonValues).json)
      printJson({ type: 'doctor', healthy, node, platform, processor, cores, memoryBytes, devices, ffmpeg, lacking, checkpoint });
    else {
      const line = (good: boolean, name: string, text: string) => `${good ? '✓' : '✗'} ${name.padEnd(11)} ${text}`;
      printLines([
        line(true, 'node', `${node} on ${platform}, ${cores} cores, ${(memoryBytes / 2 ** 30).toFixed(0)} GiB`),
        ...devices.map(d => line(d.available, d.device, d.available ? `${d.name}, ${d.text}` : d.text)),
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

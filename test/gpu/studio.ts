/** @file The studio on a GPU, as a person uses it: `node test/gpu/studio.ts [--device cuda] [--parts queue,pause,kill,idle,memory,full] [--photo FILE] [--steps N] [--work FOLDER] [--json FILE] [5B FOLDER]`.
 * A library in --work, its queue run by one process, every wish another command line. What nvidia-smi sees beside it; without one (--device cpu) the rest is still checked.
 * queue: eight clips of one shape and three of others, forecasts beside what came. pause: a running job gives the GPU back and goes on to the same clip. kill: so does one whose engine was killed.
 * idle: the GPU after the last job, and the 5B folder verified meanwhile. memory: other programs hold most of the GPU. full: the 5B folder (make_5b.py) at 720x480x49 through the queue, paused in the middle.
 * Status 1 if something did not hold. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Failure } from '../../electron/contract/errors.ts';
import type { Forecast, Job, Progress } from '../../electron/contract/records.ts';
import { findFfmpeg } from '../../electron/media/ffmpeg.ts';
import { readSafetensors, readTensor } from '../../native-models/weights/safetensors.ts';
import { marked, photo, run, sleep, start, type Line } from '../support/run.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'cuda' },
    parts: { type: 'string', default: 'queue,pause,kill,idle,memory,full' },
    photo: { type: 'string', default: photo },
    steps: { type: 'string', default: '300' },
    size: { type: 'string', default: '720x480x49' }, // of the part `full`
    work: { type: 'string', default: '/tmp/protagonist-gpu/studio' },
    json: { type: 'string' },
  },
});
const [folder] = positionals;
const steps = Number(values.steps);
const home = join(values.work, 'library');
const onGpu = values.device === 'cuda';
rmSync(home, { recursive: true, force: true });
mkdirSync(values.work, { recursive: true });

const now = () => performance.now() / 1000;
const began = now();
const told: Record<string, unknown[]> = {};
let failed = 0;
/** A line for people and figures for results.json; what is not `ok` is counted. */
function tell(part: string, text: string, figures: object = {}, ok = true): void {
  if (!ok) failed++;
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${(now() - began).toFixed(1).padStart(6)} ${part}: ${text}`);
  (told[part] ??= []).push({ text, ok, ...figures });
}
const s = (seconds: number | null | undefined): string => (seconds == null ? '?' : `${seconds.toFixed(2)} s`);
const MiB = (n: number | undefined): string => (n === undefined || Number.isNaN(n) ? '? MiB' : `${Math.round(n)} MiB`);
const percent = (x: number): string => `${x < 0 ? '' : '+'}${(100 * x).toFixed(1)} %`;

/** The GPU's memory in use, MiB, as nvidia-smi tells it twenty times a second; NaN where there is none. */
class Smi {
  used = NaN;
  #peak = NaN;
  readonly #samples: { at: number; used: number }[] = [];
  readonly #child: ChildProcess;
  static readonly which = ['-i', process.env['CUDA_VISIBLE_DEVICES'] ?? '0'];
  constructor() {
    const asked = [...Smi.which, '--query-gpu=memory.used', '--format=csv,noheader,nounits', '-lms', '50'];
    this.#child = spawn('nvidia-smi', asked, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child.on('error', () => undefined);
    this.#child.stdout!.on('data', (lines: Buffer) => {
      for (const line of lines.toString().split('\n')) {
        if (!line.trim()) continue;
        this.used = Number(line);
        this.#peak = Math.max(Number.isNaN(this.#peak) ? 0 : this.#peak, this.used);
        this.#samples.push({ at: now(), used: this.used });
      }
    });
  }
  /** The peak since the last time this was asked. */
  takePeak(): number {
    const peak = this.#peak;
    this.#peak = this.used;
    return peak;
  }
  /** Seconds from `from` until the memory was at `level`, and stayed; undefined if it was not within `limit`. */
  async backAt(level: number, from: number, limit: number): Promise<number | undefined> {
    if (Number.isNaN(this.used)) return undefined;
    while (now() < from + limit) {
      const above = this.#samples.findLastIndex(x => x.used > level),
        after = this.#samples[above + 1];
      if (after && now() - after.at > 0.3) return Math.max(0, after.at - from);
      await sleep(20);
    }
    return undefined;
  }
  stop(): void {
    this.#child.kill();
  }
}
/** The processes that hold a context on the GPU. */
const onDevice = (): number[] =>
  spawnSync('nvidia-smi', [...Smi.which, '--query-compute-apps=pid', '--format=csv,noheader'])
    .stdout.toString()
    .split('\n')
    .map(Number)
    .filter(Boolean);

const smi = new Smi();
await sleep(onGpu ? 1500 : 0);
const baseline = smi.used;

/** One command of the command line. @throws what it said, where it failed */
async function cli(...args: string[]): Promise<Line> {
  const { status, stderr, lines, stdout } = await run([...args, '--home', home, '--json'], { env: { PROTAGONIST_HOME: home } });
  const last = lines.at(-1);
  if (status !== 0 || !last)
    throw new Error(`protagonist ${args.join(' ')}: status ${String(status)}, ${stderr.trim()} ${stdout.slice(-500)}`);
  return last;
}
const queued = async (...args: string[]): Promise<Job[]> =>
  (await cli('generate', '--subject', '@bolt', '--device', values.device, '--detach', '--yes', ...args))['jobs'] as Job[];
const shown = async (id: string): Promise<Job> => (await cli('job', 'show', id))['job'] as Job;

/** `queue run`: all that it has said, with the time at which it did, and waiting for more. */
class Owner {
  readonly heard: { at: number; line: Line }[] = [];
  readonly #woken = new Set<() => void>();
  readonly #started = start(['queue', 'run', '--home', home, '--json'], {
    onLine: line => {
      this.heard.push({ at: now(), line });
      for (const wake of this.#woken) wake();
    },
  });
  /** The first line at or after `from` of which `what` says something, and when it came. */
  async until<T>(
    what: (line: Line) => T | undefined | false,
    from: number,
    limit: number,
    name: string,
  ): Promise<{ at: number; found: T }> {
    let i = 0;
    for (const end = now() + limit; ;) {
      for (; i < this.heard.length; i++) {
        const { at, line } = this.heard[i]!;
        const found = at >= from && what(line);
        if (found) return { at, found };
      }
      if (now() > end) throw new Error(`no ${name} within ${limit} s`);
      await new Promise<void>(resolve => {
        const done = () => {
          this.#woken.delete(done);
          clearTimeout(timer);
          resolve();
        };
        const timer = setTimeout(done, 200);
        this.#woken.add(done);
      });
    }
  }
  job = (id: string, is: (job: Job) => boolean) => (line: Line) => {
    const job = line.type === 'job' && (line['job'] as Job);
    return job && job.id === id && is(job) && job;
  };
  step = (id: string, is: (progress: Progress) => boolean) => (line: Line) => {
    const progress = line.type === 'progress' && line['jobId'] === id && (line['progress'] as Progress);
    return progress && is(progress) && progress;
  };
  ended = (id: string, from: number, limit: number) =>
    this.until(
      this.job(id, j => ['completed', 'failed', 'canceled'].includes(j.status)),
      from,
      limit,
      `end of ${id}`,
    );
  get engines(): number[] {
    return marked(this.#started.mark)
      .filter(p => p.command.includes('engine/main.ts'))
      .map(p => p.pid);
  }
  async stop(): Promise<void> {
    this.#started.child.kill('SIGINT');
    await this.#started.ended;
  }
}

/** RGB of a clip's frames, one after the other, as the MP4 has them. */
async function framesOf(clipId: string): Promise<Buffer> {
  const line = await cli('clip', 'show', clipId);
  const { path } = await findFfmpeg();
  const { stdout, status } = spawnSync(path, ['-nostdin', '-v', 'error', '-i', `file:${line['path'] as string}`, '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'], { maxBuffer: 1 << 30 }); // prettier-ignore
  if (status !== 0) throw new Error(`${clipId} could not be decoded`);
  return stdout;
}
const latentsOf = (jobId: string): Float32Array => readTensor(readSafetensors(join(home, 'latents', `${jobId}.safetensors`), 1 << 20).tensors.get('latents')!); // prettier-ignore
/** How alike two jobs' clips are: `equal`, or PSNR of the frames; the latents' greatest difference over their greatest value. */
async function compare(a: Job, b: Job): Promise<{ text: string; equal: boolean; psnr: number; latents: number }> {
  const [x, y] = [await framesOf(a.clipId!), await framesOf(b.clipId!)];
  if (x.length !== y.length) return { text: `${x.length} bytes of frames beside ${y.length}`, equal: false, psnr: 0, latents: NaN };
  let squares = 0;
  for (let i = 0; i < x.length; i++) squares += (x[i]! - y[i]!) ** 2;
  const psnr = 10 * Math.log10((255 ** 2 * x.length) / squares);
  const [p, q] = [latentsOf(a.id), latentsOf(b.id)];
  let [most, difference] = [0, 0];
  for (let i = 0; i < p.length; i++) [most, difference] = [Math.max(most, Math.abs(p[i]!)), Math.max(difference, Math.abs(p[i]! - q[i]!))];
  const latents = difference / most,
    equal = squares === 0 && latents === 0;
  return { text: equal ? 'equal frames and latents' : `frames ${psnr.toFixed(1)} dB, latents ${latents.toExponential(1)}`, equal, psnr, latents }; // prettier-ignore
}
/** Alike enough to be the same clip: a GPU need not compute the same bits twice. */
const alike = ({ equal, psnr }: { equal: boolean; psnr: number }) => equal || psnr >= 40;

/** What is pinned down of a finished job: its forecast when it was taken, and what it took. */
interface Measured {
  readonly job: Job;
  readonly forecast: Forecast;
  readonly seconds: number;
  readonly peak: number;
}
async function measured(owner: Owner, id: string, from: number, limit: number): Promise<Measured> {
  const taken = await owner.until(owner.job(id, j => j.status === 'inProgress'), from, limit, `start of ${id}`); // prettier-ignore
  smi.takePeak();
  const { at, found: job } = await owner.ended(id, taken.at, limit);
  return { job, forecast: taken.found.forecast, seconds: at - taken.at, peak: smi.takePeak() - baseline };
}
function tellForecast(part: string, name: string, { job, forecast, seconds, peak }: Measured): void {
  const error = forecast.seconds === null ? null : forecast.seconds / seconds - 1,
    bytes = forecast.peakDeviceBytes,
    deviceError = bytes === null ? null : bytes / 2 ** 20 / peak - 1;
  tell(
    part,
    `${job.id} ${name}: ${job.status} in ${s(seconds)}, forecast ${s(forecast.seconds)}${error === null ? '' : ` (${percent(error)})`}; device peak ${MiB(peak)} by nvidia-smi, ` +
      `forecast ${bytes === null ? 'not known' : MiB(bytes / 2 ** 20)}${deviceError === null ? '' : ` (${percent(deviceError)})`}`,
    { id: job.id, status: job.status, seconds, forecast: forecast.seconds, error, peakMiB: peak, forecastDevice: bytes, deviceError, exact: forecast.exact, learntFrom: forecast.learntFrom }, // prettier-ignore
    job.status === 'completed',
  );
}

/** Runs a command while a job computes, and measures until the GPU is as it was. */
async function givenBack(part: string, name: string, owner: Owner, wish: () => Promise<unknown>, from = baseline): Promise<void> {
  const before = smi.used,
    asked = now();
  await wish();
  const answered = now(),
    then = smi.used,
    engines = owner.engines;
  const back = await smi.backAt(from + 16, asked, 30),
    left = onGpu ? onDevice().filter(pid => owner.engines.includes(pid)) : [];
  tell(
    part,
    `${name}: ${MiB(before)} used; answered after ${s(answered - asked)} (the command's start included), then ${MiB(then)}, ${engines.length} engine processes; GPU as before ${s(back)} after it was asked, that is ${s(back === undefined ? undefined : back - (answered - asked))} after the answer; ${MiB(smi.used)} used (${MiB(from)} before), ${left.length} of our processes on it`,
    { before, answered: answered - asked, then, back, left: left.length, engines: engines.length, used: smi.used, from },
    !onGpu || (back !== undefined && left.length === 0 && engines.length === 0),
  );
}

const prompt = ['--prompt', '@bolt jumps up and down on the beach.'];
const plain = [...prompt, '--seed', '1', '--steps', String(steps)];
let reference: Job | undefined;

/** Holds the GPU's memory but for so many MiB, with PyTorch. */
async function hog(freeMiB: number): Promise<() => Promise<void>> {
  const program = `
import torch, sys
torch.zeros(1, device='cuda'); held = []
while (room := torch.cuda.mem_get_info()[0] - ${freeMiB} * 2**20) > 2 << 20:
    n = min(room, 4 << 30)
    try: held.append(torch.empty(n - n % (2 << 20), dtype=torch.uint8, device='cuda'))
    except torch.OutOfMemoryError: break
print(torch.cuda.mem_get_info()[0] >> 20, flush=True)
sys.stdin.read()`;
  const child = spawn(process.env['PYTHON'] ?? 'python3', ['-c', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, PYTORCH_NO_CUDA_MEMORY_CACHING: '1' },
  });
  const gone = new Promise<void>(resolve => child.on('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.on('error', reject);
    child.on('close', () => reject(new Error('the program that holds memory ended')));
  });
  return async () => {
    child.stdin.end();
    await gone;
    await sleep(500);
  };
}

const parts: Readonly<Record<string, (owner: Owner) => Promise<void>>> = {
  async queue(owner) {
    let from = now();
    const first = await queued(...plain),
      others = await queued(...prompt, '--seed', '2', '--seeds', '6', '--steps', String(steps)),
      again = (await cli('job', 'duplicate', first[0]!.id))['job'] as Job;
    const all: Measured[] = [];
    for (const { id } of [...first, ...others, again]) {
      const m = await measured(owner, id, from, 300);
      all.push(m);
      tellForecast('queue', `${steps} steps`, m);
      if (all.length === 1) reference = m.job;
    }
    const late = all.slice(3).map(m => Math.abs(m.forecast.seconds! / m.seconds - 1));
    tell('queue', `seconds forecast of jobs 4 to ${all.length}: ${percent(late.reduce((a, b) => a + b, 0) / late.length)} wrong on average, ${percent(Math.max(...late))} at most`, { mean: late.reduce((a, b) => a + b, 0) / late.length, most: Math.max(...late) }); // prettier-ignore
    if (onGpu) {
      const known = all[1]!.forecast.peakDeviceBytes;
      tell('queue', `device memory after the first job: ${known === null ? 'not known' : MiB(known / 2 ** 20)}`, { known }, known !== null);
    }
    const same = await compare(all[0]!.job, all.at(-1)!.job);
    tell('queue', `the same job twice: ${same.text}`, same, alike(same));
    for (const [size, n] of [
      ['192x192x25', steps],
      ['256x160x33', Math.ceil(steps / 2)],
      ['128x128x49', Math.ceil(steps / 4)],
    ] as const) {
      from = now();
      const [width, height, frames] = size.split('x') as [string, string, string];
      const [job] = await queued(...prompt, '--seed', '3', '--steps', String(n), '--width', width, '--height', height, '--frames', frames);
      const m = await measured(owner, job!.id, from, 300);
      tellForecast('queue', `${size}, ${n} steps (not seen before)`, m);
    }
  },

  async pause(owner) {
    for (const [i, part] of [0.25, 0.5, 0.75].entries()) {
      const from = now(),
        [job] = await queued(...plain);
      const { id } = job!;
      await owner.until(owner.step(id, p => p.phase === 'denoise' && p.step >= steps * part), from, 300, `step of ${id}`); // prettier-ignore
      await (i === 1
        ? givenBack('pause', `queue pause at ${part} of ${id}`, owner, () => cli('queue', 'pause'))
        : givenBack('pause', `job pause at ${part} of ${id}`, owner, () => cli('job', 'pause', id)));
      const { snapshotStep, status } = await shown(id);
      const resumed = now();
      await (i === 1 ? cli('queue', 'resume') : cli('job', 'resume', id));
      const going = await owner.until(owner.step(id, p => p.phase === 'denoise' && p.step > snapshotStep), resumed, 300, `step of ${id}`); // prettier-ignore
      const { found } = await owner.ended(id, resumed, 300);
      const same = await compare(reference ?? found, found);
      tell('pause', `${id} was ${status} after step ${snapshotStep} of ${steps}; resumed, the next step was there after ${s(going.at - resumed)} (step ${going.found.step}); ${found.status}, beside the uninterrupted ${reference?.id ?? 'itself'}: ${same.text}`, { ...same, snapshotStep, next: going.at - resumed }, found.status === 'completed' && alike(same)); // prettier-ignore
    }
  },

  async kill(owner) {
    for (const part of [0.4, 0.8]) {
      const from = now(),
        [job] = await queued(...plain);
      const { id } = job!;
      await owner.until(owner.step(id, p => p.phase === 'denoise' && p.step >= steps * part), from, 300, `step of ${id}`); // prettier-ignore
      const engines = owner.engines,
        { snapshotStep } = await shown(id),
        killed = now();
      for (const pid of engines) process.kill(pid, 'SIGKILL');
      const again = await owner.until(owner.job(id, j => j.status === 'inProgress'), killed + 0.001, 60, `second start of ${id}`); // prettier-ignore
      const going = await owner.until(owner.step(id, p => p.phase === 'denoise' && p.step > 0), again.at, 60, `step of ${id}`); // prettier-ignore
      const fresh = owner.engines;
      const { found } = await owner.ended(id, again.at, 300);
      const same = await compare(reference ?? found, found);
      tell(
        'kill',
        `engine ${engines.join()} killed at ${part} of ${id} (snapshot after step ${snapshotStep}): taken up again after ${s(again.at - killed)}, computing (step ${going.found.step}) after ${s(going.at - killed)} in engine ${fresh.join()}; ${found.status}, ${same.text}`,
        { ...same, taken: again.at - killed, computing: going.at - killed, snapshotStep, step: going.found.step },
        found.status === 'completed' && alike(same) && engines.length === 1 && fresh.length === 1 && fresh[0] !== engines[0],
      );
    }
  },

  async idle(owner) {
    const from = now(),
      [job] = await queued(...prompt, '--seed', '1', '--steps', '4');
    const { at } = await owner.ended(job!.id, from, 300);
    await sleep(500);
    const held = smi.used - baseline,
      there = owner.engines;
    if (folder !== undefined) {
      const begun = now(),
        { checkpoint } = await cli('checkpoint', 'add', folder, '--name', 'Full');
      const { bytes } = checkpoint as { bytes: number },
        seconds = now() - begun;
      tell('idle', `checkpoint add of ${(bytes / 1e9).toFixed(2)} GB: ${s(seconds)}, ${(bytes / 1e9 / seconds).toFixed(2)} GB/s`, { seconds, bytes }); // prettier-ignore
    }
    while (owner.engines.some(pid => there.includes(pid)) && now() < at + 90) await sleep(100);
    const gone = now() - at,
      back = onGpu ? await smi.backAt(baseline + 16, at, 90) : undefined;
    tell('idle', `after the last job the idle engine holds ${MiB(held)}; it ended ${s(gone)} after the job, the GPU was as before after ${s(back)}; ${MiB(smi.used)} used (${MiB(baseline)} before)`, { held, gone, back }, !onGpu || back !== undefined); // prettier-ignore
  },

  async memory(owner) {
    if (!onGpu) return;
    const small = [...prompt, '--seed', '1', '--steps', '20'],
      large = [...prompt, '--seed', '1', '--steps', '2', '--width', '1024', '--height', '1024', '--frames', '49'];
    const one = async (args: string[]): Promise<{ job: Job; failure: Failure | null; engines: number[] }> => {
      const from = now(),
        [job] = await queued(...args);
      await owner.until(owner.job(job!.id, j => j.status === 'inProgress'), from, 60, `start of ${job!.id}`); // prettier-ignore
      let engines: number[] = [];
      const looking = setInterval(() => (engines = owner.engines.length ? owner.engines : engines), 100);
      const { found } = await owner.ended(job!.id, from, 300).finally(() => clearInterval(looking));
      return { job: found, failure: found.failure, engines };
    };
    /** The engine's context is not there then: what is free is all that it gets. */
    const scarce = async (free: number): Promise<() => Promise<void>> => {
      await cli('queue', 'pause');
      for (const pid of owner.engines) process.kill(pid, 'SIGKILL');
      await smi.backAt(baseline + 16, now(), 10);
      return hog(free);
    };
    for (const free of [2500, 1500]) {
      const release = await scarce(free);
      await cli('queue', 'resume');
      const a = await one(large),
        b = await one(small);
      tell('memory', `${free} MiB free, 1024x1024x49: ${a.job.status} ${a.failure?.code ?? ''} (${a.failure?.text ?? ''}) in engine ${a.engines.join()}`, { free, code: a.failure?.code, text: a.failure?.text }, a.failure?.code === 'outOfMemory'); // prettier-ignore
      tell('memory', `${free} MiB free, the next job, 128x128x17: ${b.job.status} ${b.failure?.text ?? ''} in engine ${b.engines.join()} (${a.engines.join() === b.engines.join() ? 'the same process' : 'another process'})`, { free, status: b.job.status, same: a.engines.join() === b.engines.join() }, b.job.status === 'completed' && a.engines.join() !== b.engines.join()); // prettier-ignore
      await release();
    }
    // As little as that, and even a small clip does not go: it must say why, and afterwards everything works again.
    for (const free of [1400, 1200, 1000, 800, 600, 400, 50]) {
      const release = await scarce(free);
      await cli('queue', 'resume');
      const { job, failure } = await one(small);
      tell('memory', `${free} MiB free, 128x128x17: ${job.status} ${failure?.code ?? ''} ${failure?.text ?? ''}`, { free, status: job.status, code: failure?.code, text: failure?.text }, job.status === 'completed' || failure?.code === 'outOfMemory'); // prettier-ignore
      await release();
    }
    const { job, failure } = await one(small);
    tell('memory', `all of it free again: ${job.status} ${failure?.text ?? ''}`, {}, job.status === 'completed');
  },

  async full(owner) {
    if (folder === undefined) return;
    const [width, height, frames] = values.size.split('x') as [string, string, string];
    const known = ((await cli('checkpoint', 'list'))['checkpoints'] as { name: string }[]).some(c => c.name === 'Full');
    if (!known) {
      const begun = now();
      await cli('checkpoint', 'add', folder, '--name', 'Full');
      tell('full', `checkpoint add: ${s(now() - begun)}`, { seconds: now() - begun });
    }
    const clip = [...prompt, '--seed', '1', '--checkpoint', 'Full', '--adapter', 'none', '--steps', '2', '--width', width, '--height', height, '--frames', frames]; // prettier-ignore
    const stepsSeen = (id: string, from: number) => owner.heard.flatMap(({ at, line }) => (at >= from && owner.step(id, p => p.phase === 'denoise')(line) ? [at] : [])); // prettier-ignore
    let from = now();
    const [first] = await queued(...clip),
      whole = await measured(owner, first!.id, from, 400);
    const times = stepsSeen(whole.job.id, from);
    tell(
      'full',
      `${values.size}, 2 steps: ${whole.job.status} ${whole.job.failure?.text ?? ''} in ${s(whole.seconds)}, steps ${times.slice(1).map((t, i) => s(t - times[i]!)).join(' ')}, peak ${MiB(whole.peak)}`, // prettier-ignore
      { seconds: whole.seconds, peakMiB: whole.peak },
      whole.job.status === 'completed',
    );
    from = now();
    const [second] = await queued(...clip),
      { id } = second!;
    const taken = await owner.until(owner.job(id, j => j.status === 'inProgress'), from, 60, `start of ${id}`); // prettier-ignore
    await owner.until(owner.step(id, p => p.phase === 'denoise' && p.step >= 1), from, 300, `step of ${id}`); // prettier-ignore
    await givenBack('full', `job pause in the second step of ${id}`, owner, () => cli('job', 'pause', id));
    const { snapshotStep } = await shown(id),
      resumed = now();
    await cli('job', 'resume', id);
    const going = await owner.until(owner.step(id, p => p.phase === 'denoise' && p.step > snapshotStep), resumed, 300, `step of ${id}`); // prettier-ignore
    const { found, at } = await owner.ended(id, resumed, 400);
    const same = found.status === 'completed' && whole.job.status === 'completed' ? await compare(whole.job, found) : undefined;
    const { seconds, peakDeviceBytes } = taken.found.forecast;
    tell(
      'full',
      `${id} resumed after step ${snapshotStep}: next step after ${s(going.at - resumed)}, ${found.status} after ${s(at - resumed)}; beside the uninterrupted: ${same?.text ?? '?'}; its forecast was ${s(seconds)} (the first took ${s(whole.seconds)}), ${MiB(peakDeviceBytes === null ? undefined : peakDeviceBytes / 2 ** 20)}`,
      { ...same, snapshotStep, next: going.at - resumed, forecast: seconds, peakDeviceBytes },
      same !== undefined && alike(same),
    );
    from = now();
    const [third] = await queued(...clip);
    await owner.until(owner.step(third!.id, p => p.phase === 'decode' && p.step >= 1), from, 300, `decoding of ${third!.id}`); // prettier-ignore
    await givenBack('full', `job pause while ${third!.id} decodes`, owner, () => cli('job', 'pause', third!.id));
    const again = now();
    await cli('job', 'resume', third!.id);
    const end = await owner.ended(third!.id, again, 400);
    const decoded = end.found.status === 'completed' && whole.job.status === 'completed' ? await compare(whole.job, end.found) : undefined;
    tell('full', `${third!.id} resumed: ${end.found.status} after ${s(end.at - again)}, ${stepsSeen(third!.id, again).length ? 'denoised again' : 'only decoded'}; ${decoded?.text ?? '?'}`, { ...decoded, seconds: end.at - again }, decoded !== undefined && alike(decoded)); // prettier-ignore
    await givenBack('full', 'queue pause while nothing runs', owner, () => cli('queue', 'pause'));
    await cli('queue', 'resume');
  },
};

await cli('subject', 'add', '--name', 'Bolt', '--kind', 'toy', values.photo);
const owner = new Owner();
try {
  await owner.until(line => line.type === 'queue', 0, 60, 'word of the queue');
  for (const part of values.parts.split(','))
    try {
      await parts[part]!(owner);
    } catch (e) {
      tell(part, e instanceof Error ? e.message : String(e), {}, false);
      for (const { line } of owner.heard.slice(-5)) console.log(`     ${JSON.stringify(line).slice(0, 400)}`);
    }
} finally {
  const asked = now();
  await owner.stop();
  tell('end', `Ctrl-C ended the queue after ${s(now() - asked)}; ${MiB(smi.used)} used (${MiB(baseline)} before)`, { seconds: now() - asked, baseline }); // prettier-ignore
  smi.stop();
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(told, null, 1));
  const line = readFileSync('/proc/self/status', 'latin1').match(/VmHWM:\s+(\d+)/)?.[1];
  console.log(`studio on ${values.device}: ${failed ? `${failed} FAILED` : 'all held'} (${Math.round(Number(line) / 1024)} MiB here)`);
}
process.exitCode = failed ? 1 : 0;

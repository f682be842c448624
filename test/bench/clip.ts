/** @file Measures Toybox clips from process start to MP4: `node test/bench/clip.ts [--runs 5] [--steps 20] [-- more options of generate]`. On an idle machine. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { marked, peakMiB, photo, start } from '../support/run.ts';

const { values, positionals } = parseArgs({
  options: { runs: { type: 'string', default: '5' }, steps: { type: 'string', default: '20' } },
  allowPositionals: true,
});
const folder = mkdtempSync(join(tmpdir(), 'protagonist-bench-'));
const rows: { seconds: number; peak: number; cpu: number; threads: number; timings: Record<string, number> }[] = [];
/** CPU seconds of a process, its ended children included. */
const cpuSeconds = (pid: number): number => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const f = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(f[11]) + Number(f[12]) + Number(f[13]) + Number(f[14])) / 100;
  } catch {
    return 0;
  }
};
const threadsOf = (pid: number): number => {
  try {
    return Number(/Threads:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
};
console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores, Node ${process.versions.node}`);
for (let i = 0; i < Number(values.runs); i++) {
  const run = start([
    'generate',
    '--subject',
    photo,
    '--prompt',
    'the toy hops on the beach',
    '--steps',
    values.steps,
    '--seed',
    '1',
    '--out',
    join(folder, `${i}.mp4`),
    '--json',
    ...positionals,
  ]);
  const peaks = new Map<number, number>();
  let cpu = 0,
    threads = 0;
  const watch = setInterval(() => {
    const all = marked(run.mark);
    for (const p of all) peaks.set(p.pid, Math.max(peaks.get(p.pid) ?? 0, peakMiB(p.pid)));
    cpu = Math.max(
      cpu,
      all.reduce((s, p) => s + cpuSeconds(p.pid), 0),
    );
    threads = Math.max(
      threads,
      all.reduce((s, p) => s + threadsOf(p.pid), 0),
    );
  }, 100);
  const ended = await run.ended;
  clearInterval(watch);
  const done = ended.lines.find(l => l.type === 'done');
  if (!done) throw new Error(`run ${i} ended with ${String(ended.status)}: ${ended.stderr}${JSON.stringify(ended.lines.at(-1))}`);
  // sum of the peaks of all processes: an upper bound of the peak of the sum
  const row = {
    seconds: ended.seconds,
    peak: [...peaks.values()].reduce((a, b) => a + b, 0),
    cpu,
    threads,
    timings: done['timings'] as Record<string, number>,
  };
  rows.push(row);
  console.log(
    `${ended.seconds.toFixed(2)} s  peak ${row.peak.toFixed(0)} MiB  CPU ${cpu.toFixed(1)} s  ${threads} threads  ${Object.entries(
      row.timings,
    )
      .map(([k, v]) => `${k} ${v.toFixed(2)}`)
      .join('  ')}`,
  );
}
rmSync(folder, { recursive: true });
const median = (xs: number[]) => xs.toSorted((a, b) => a - b)[Math.floor(xs.length / 2)]!;
console.log(
  `median of ${rows.length}: ${median(rows.map(r => r.seconds)).toFixed(2)} s, ${median(rows.map(r => r.timings['denoise']! / Number(values.steps))).toFixed(3)} s a step, worst peak ${Math.max(...rows.map(r => r.peak)).toFixed(0)} MiB`,
);

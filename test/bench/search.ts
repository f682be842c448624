/** @file Measures how fast clips are found: `node test/bench/search.ts [--rows 100000] [--subjects 1000] [--pages 60]`. On an idle machine. */
import { statSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { api } from '../../electron/contract/api.ts';
import { clipsPart } from '../../electron/studio/clips.ts';
import { subjectsPart } from '../../electron/studio/subjects.ts';
import { clipLike, fill, newLibrary } from '../support/library.ts';
import { measure } from '../support/search-cells.ts';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000' },
    subjects: { type: 'string', default: '1000' },
    pages: { type: 'string', default: '60' },
  },
});
const { signal } = new AbortController();
const library = await newLibrary();
try {
  const { db } = library;
  const parts = { subjects: subjectsPart(library), clips: clipsPart(library) };
  console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores, Node ${process.versions.node}`);
  const began = performance.now();
  await fill(library, parts, { clips: Number(values.rows), subjects: Number(values.subjects) });
  console.log(`${values.rows} clips and ${values.subjects} subjects made in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  db.checkpoint();
  const part = (names: string) =>
    (db.get<{ n: number }>(`SELECT sum(pgsize) AS n FROM dbstat WHERE name GLOB '${names}'`)!.n / 1e6).toFixed(0);
  console.log(
    `database ${(statSync(db.file).size / 1e6).toFixed(0)} MB, of it index ${part('clip_index*')} MB, words ${part('clip_words')} MB`,
  );

  const opened: number[] = [];
  for (let i = 0; i < 5; i++) {
    db.close();
    const start = performance.now();
    db.open();
    await clipsPart(library).list(api.clips.list.input.parse({}), signal);
    opened.push(performance.now() - start);
  }
  console.log(`first page after opening the database: ${opened.map(t => t.toFixed(0)).join(', ')} ms`);

  const cells = await measure(parts.clips, Number(values.pages));
  console.log(`${'search'.padEnd(20)}${'sort'.padEnd(9)}${'filter'.padEnd(9)}    p50    p95  worst   cpu50  cpu95 (ms)`);
  for (const c of cells)
    console.log(
      `${c.search.padEnd(20)}${c.sort.padEnd(9)}${c.filter.padEnd(9)}${[c.p50, c.p95, c.worst, c.cpu50, c.cpu95].map(t => t.toFixed(1).padStart(7)).join('')}`,
    );
  const slowest = cells.reduce((a, b) => (b.p95 > a.p95 ? b : a));
  console.log(`slowest p95: ${slowest.p95.toFixed(1)} ms (${slowest.search}, ${slowest.sort}, filter ${slowest.filter})`);
  const most = cells.reduce((a, b) => (b.cpu95 > a.cpu95 ? b : a));
  console.log(`slowest p95 by the processor's time: ${most.cpu95.toFixed(1)} ms (${most.search}, ${most.sort}, filter ${most.filter})`);

  const writes: Record<string, number[]> = { add: [], 'edit stars': [] };
  for (let i = 0; i < 100; i++) {
    let start = performance.now();
    const { id } = parts.clips.add(clipLike(1e6 + i));
    writes['add']!.push(performance.now() - start);
    start = performance.now();
    await parts.clips.edit({ id, stars: 5 }, signal);
    writes['edit stars']!.push(performance.now() - start);
  }
  for (const [what, times] of Object.entries(writes)) {
    times.sort((a, b) => a - b);
    console.log(`${what}: p50 ${times[50]!.toFixed(1)} ms, p95 ${times[95]!.toFixed(1)} ms`);
  }
} finally {
  library.close();
}

/** @file The searches whose time is promised, and how they are measured: in tests with few clips, in the benchmark with many. */
import { api } from '../../electron/contract/api.ts';
import type { ClipsPart } from '../../electron/studio/clips.ts';
import { planted } from './library.ts';

const searches: Readonly<Record<string, readonly string[]>> = {
  nothing: [''],
  'one letter': ['e', 'q', 'x', 'ß'],
  'a word in 40 %': [planted.word, 'SUNSÉT'],
  'two words': [`${planted.word} lantern`, 'castle dragon', 'the wi'],
  'no hit': ['zzzqx', 'lanterning', 'overthere handset', '龘龘'],
  'one Chinese sign': ['猫', '的'],
  'two Chinese signs': ['海滩', '的一'],
  'a Chinese run': [planted.chinese, '昏的海', '一是不了人'],
};
const sorts = ['newest', 'oldest', 'stars'] as const;
const filters: Readonly<Record<string, readonly { subject?: `s${number}`; tag?: string }[]>> = {
  none: [{}],
  subject: [{ subject: 's1' }, { subject: 's7' }, { subject: 's90' }],
  tag: [{ tag: 'keep' }, { tag: 'tag 0' }, { tag: 'tag 150' }],
};

export interface Cell {
  readonly search: string;
  readonly sort: string;
  readonly filter: string;
  /** Milliseconds by the clock. */
  readonly p50: number;
  readonly p95: number;
  readonly worst: number;
  /** The same of the processor's time: what the clock says where nothing else runs. */
  readonly cpu50: number;
  readonly cpu95: number;
}

/** Measures pages of 60 of every combination: the whole of `clips.list`, records read, files looked for, and the answer parsed.
 * @param least pages measured of each */
export async function measure(clips: ClipsPart, least: number): Promise<Cell[]> {
  const { signal } = new AbortController();
  const cells: Cell[] = [];
  for (const [search, texts] of Object.entries(searches))
    for (const sort of sorts)
      for (const [filter, choices] of Object.entries(filters)) {
        const times: number[] = [],
          cpu: number[] = [];
        while (times.length < least)
          for (const text of texts)
            for (const choice of choices) {
              let after: string | null = null;
              for (let page = 0; page < 2; page++) {
                const input = api.clips.list.input.parse({ search: text, sort, ...choice, after });
                const began = performance.now(),
                  before = process.threadCpuUsage();
                const answer = api.clips.list.output.parse(await clips.list(input, signal));
                times.push(performance.now() - began);
                const { user, system } = process.threadCpuUsage(before);
                cpu.push((user + system) / 1000);
                after = answer.next;
                if (after === null) break;
              }
            }
        const at = (list: number[], share: number) =>
          list.sort((a, b) => a - b)[Math.min(Math.floor(list.length * share), list.length - 1)]!;
        cells.push({
          search,
          sort,
          filter,
          p50: at(times, 0.5),
          p95: at(times, 0.95),
          worst: at(times, 1),
          cpu50: at(cpu, 0.5),
          cpu95: at(cpu, 0.95),
        });
      }
  return cells;
}

/** @file How far a clip is: one line that is painted over on a terminal, one line a phase elsewhere. */
import type { Told } from '../../native-models/tasks.ts';
import { duration, onOneLine } from './print.ts';

const terminal = process.stderr;
const said: Record<Extract<Told, { type: 'progress' }>['phase'], string> = {
  verify: 'Checking',
  load: 'Loading',
  encode: 'Reading',
  denoise: 'Painting',
  decode: 'Developing',
  export: 'Writing',
};
export interface Step {
  readonly phase: keyof typeof said;
  readonly step: number;
  readonly of: number;
  readonly remaining?: number | null | undefined;
}

/** @returns shows one step of `label`, where there are several things that may go on; '' else */
export function progressBar(): (step: Step, label?: string) => void {
  let last = '';
  return ({ phase, step, of, remaining }, label = '') => {
    const before = label && `${label}  `;
    if (terminal.isTTY) {
      const left = remaining === undefined || remaining === null ? '' : `, ${duration(remaining)} left`,
        steps = phase === 'verify' ? `${Math.floor((100 * step) / Math.max(1, of))} %` : `${step}/${of}`,
        head = `${onOneLine(before)}${said[phase].padEnd(10)} `,
        tail = ` ${steps}${left}`;
      const width = Math.max(0, Math.min(28, terminal.columns - head.length - tail.length - 1)), // a line that wraps could not be painted over
        full = Math.min(width, Math.round((width * step) / Math.max(1, of)));
      terminal.write(`\r\x1b[K${head}${'█'.repeat(full)}${'░'.repeat(width - full)}${tail}`);
    } else if (last !== label + phase) terminal.write(`${onOneLine(before)}${said[phase]} ...\n`);
    last = label + phase;
  };
}
export function progressEnd(): void {
  if (terminal.isTTY) terminal.write('\r\x1b[K');
}

/** @file Whether a checkpoint fits this machine, as far as anybody can know beforehand. */
import type { Download, Machine, Settings } from '../../../electron/contract/records.ts';

export interface Fit {
  /** `tight`: it may work, with little room, or slowly. */
  readonly state: 'fits' | 'tight' | 'doesNotFit';
  /** Where it would lie. `cardNotThere`: what it needs is known for a graphics card, and the processor would have to do. */
  readonly where: 'card' | 'memory' | 'cardNotThere';
  /** Bytes that are there, all together. */
  readonly room: number;
}

/** Above these shares of what is there it is tight: a desktop takes some of the card, a system and its programs more of the memory. */
const comfortable = { card: 0.9, memory: 0.7 } as const;

/** @param need bytes at its peak
 * @param onProcessor the figure is known for the processor: the checkpoint that comes with the program */
export function fitOf(need: number, onProcessor: boolean, machine: Machine, device: Settings['device']): Fit {
  const card = machine.devices.find(d => d.device === 'cuda' && d.available)?.memoryBytes;
  if (!onProcessor && card && device !== 'cpu') {
    const state = need > card ? 'doesNotFit' : need > card * comfortable.card ? 'tight' : 'fits';
    return { state, where: 'card', room: card };
  }
  const room = machine.ramBytes;
  if (!onProcessor) return { state: need > room ? 'doesNotFit' : 'tight', where: 'cardNotThere', room };
  return { state: need > room ? 'doesNotFit' : need > room * comfortable.memory ? 'tight' : 'fits', where: 'memory', room };
}

/** Whether it comes with the program: nothing of it is ever downloaded. */
export const comesAlong = ({ bytes, exact }: Pick<Download, 'bytes' | 'exact'>): boolean => bytes === 0 && exact;

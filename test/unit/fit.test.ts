/** @file Whether a checkpoint fits a machine, as it is told before anything is downloaded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { machine as machineSchema } from '../../electron/contract/records.ts';
import { fitOf } from '../../renderer/components/settings/fit.ts';

const gb = 1e9;
const machine = (ram: number, card?: number) =>
  machineSchema.parse({
    platform: 'linux-x64',
    processor: 'some processor',
    cores: 8,
    ramBytes: ram,
    devices: [
      { device: 'cpu', name: 'some processor', available: true, memoryBytes: null, text: '8 threads' },
      { device: 'cuda', name: 'some card', available: card !== undefined, memoryBytes: card ?? null, text: 'some card' },
    ],
    ffmpeg: 'ffmpeg 7',
  });

test('on a graphics card its own memory counts', () => {
  assert.deepEqual(fitOf(20 * gb, false, machine(16 * gb, 80 * gb), 'auto'), { state: 'fits', where: 'card', room: 80 * gb });
  assert.equal(fitOf(20 * gb, false, machine(16 * gb, 21 * gb), 'auto').state, 'tight');
  assert.deepEqual(fitOf(20 * gb, false, machine(512 * gb, 8 * gb), 'auto'), { state: 'doesNotFit', where: 'card', room: 8 * gb });
});
test('without a card, or where the processor is chosen, a figure that is known for a card never says that it fits', () => {
  for (const [of, device] of [
    [machine(512 * gb), 'auto'],
    [machine(512 * gb, 80 * gb), 'cpu'],
  ] as const)
    // prettier-ignore
    assert.deepEqual(fitOf(20 * gb, false, of, device), { state: 'tight', where: 'cardNotThere', room: 512 * gb });
  assert.equal(fitOf(20 * gb, false, machine(16 * gb), 'auto').state, 'doesNotFit');
});
test('what comes with the program is known for the processor', () => {
  assert.deepEqual(fitOf(0.6 * gb, true, machine(8 * gb, 80 * gb), 'auto'), { state: 'fits', where: 'memory', room: 8 * gb });
  assert.equal(fitOf(0.6 * gb, true, machine(0.7 * gb), 'auto').state, 'tight');
  assert.equal(fitOf(0.6 * gb, true, machine(0.5 * gb), 'auto').state, 'doesNotFit');
});

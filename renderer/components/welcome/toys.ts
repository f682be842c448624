/** @file The toys of the first start, each with a sentence and a seed that go well with it: chosen by looking at what became of them. */
import biscuit from '../../../assets/toybox/photos/biscuit.jpg';
import bolt from '../../../assets/toybox/photos/bolt.jpg';
import clover from '../../../assets/toybox/photos/clover.jpg';
import kelp from '../../../assets/toybox/photos/kelp.jpg';
import misty from '../../../assets/toybox/photos/misty.jpg';
import otto from '../../../assets/toybox/photos/otto.jpg';
import type { Key } from '../../words/index.svelte.ts';

export interface Toy {
  /** Of the sample. */
  readonly handle: string;
  readonly name: string;
  /** What comes after its name; Toybox reads English. */
  readonly prompt: string;
  readonly seed: number;
  /** The whole sentence in the language of the window. */
  readonly scene: Key;
  /** Where its photo lies. */
  readonly photo: string;
}

export const toys: readonly Toy[] = [
  { handle: 'otto', name: 'Otto', prompt: 'walks to the right on a sandy beach by the sea.', seed: 14, scene: 'welcome.otto', photo: otto },
  { handle: 'misty', name: 'Misty', prompt: 'comes closer on a sandy beach by the sea.', seed: 22, scene: 'welcome.misty', photo: misty },
  { handle: 'clover', name: 'Clover', prompt: 'comes closer in a meadow.', seed: 28, scene: 'welcome.clover', photo: clover },
  { handle: 'kelp', name: 'Kelp', prompt: 'walks towards the camera in a meadow.', seed: 6, scene: 'welcome.kelp', photo: kelp },
  { handle: 'bolt', name: 'Bolt', prompt: 'comes closer in a cosy room.', seed: 27, scene: 'welcome.bolt', photo: bolt },
  {
    handle: 'biscuit',
    name: 'Biscuit',
    prompt: 'comes closer on a sandy beach by the sea.',
    seed: 30,
    scene: 'welcome.biscuit',
    photo: biscuit,
  },
];

/** @file A process of its own that looks for devices and says what it found: a broken graphics driver ends it alone, and what looking takes of a device is given back with it. */
import { probe } from '../../native-models/runtime/device.ts';

process.send?.(await probe(), () => process.exit());

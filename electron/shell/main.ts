/** @file Where the desktop app begins: the one file, beside `preload.ts`, that Electron itself is imported in. */
import * as electron from 'electron';
import { start } from './start.ts';

void start(electron, process.argv);

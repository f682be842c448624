/** @file How processes of ours are started. Where one program is both the app and its Node, as in the desktop app, Node's own way is not open and another one is put in its place. */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';

/** Starts a script of ours in a process of its own, as `child_process.spawn` starts this Node with it.
 * @param flags Node's
 * @param options `stdio` and what else `spawn` takes; with `ipc` in it messages can be sent */
export type StartScript = (script: string, args: readonly string[], flags: readonly string[], options: SpawnOptions) => ChildProcess;

const byNode: StartScript = (script, args, flags, options) => spawn(process.execPath, [...flags, script, ...args], options);

let current = byNode;
export const startScript: StartScript = (...how) => current(...how);
/** Puts another way in the place of Node's, for all that is started from now on. */
export function startScriptsBy(other: StartScript): void {
  current = other;
}

/** @file What a packed app is not started with: switches of Chromium that take a wall away, open the window to other programs, or load code into it. No fuse covers them; whoever works on the app may use them. */
import type { CommandLine } from 'electron';

/** Those that take the sandbox away; ELECTRON_DISABLE_SANDBOX becomes the first one. */
const sandboxSwitches = [
  'no-sandbox',
  'disable-namespace-sandbox',
  'disable-seccomp-filter-sandbox',
  'single-process',
  'disable-site-isolation-trials',
] as const;

/** Each that is refused. `allow-file-access-from-files` is not among them: Electron sets it itself, and files have no scheme here. `inspect` and the like do nothing once their
 * fuse is off; they are here for whoever waits at their port. */
export const refusedSwitches = [
  ...sandboxSwitches,
  // other programs in the window
  'remote-debugging-port',
  'remote-debugging-pipe',
  'remote-debugging-address',
  'remote-allow-origins',
  'inspect',
  'inspect-brk',
  'inspect-port',
  'inspect-wait',
  'auto-open-devtools-for-tabs',
  // code of others
  'load-extension',
  'js-flags',
  'renderer-cmd-prefix',
  'utility-cmd-prefix',
  'gpu-launcher',
  'browser-subprocess-path',
  // what pages may
  'disable-web-security',
  'allow-running-insecure-content',
  'enable-blink-features',
  'enable-experimental-web-platform-features',
  'ignore-certificate-errors',
  'ignore-certificate-errors-spki-list',
  'host-rules',
  'use-fake-ui-for-media-stream',
] as const;

/** Takes refused switches away, so that none is acted upon before the app has ended: Electron looks for most of them only after our first line has run. Not those of the
 * sandbox: it is up or not by then, and the command line, which opens no window, runs without it.
 * @returns the first that was there */
export function withoutSwitches(commandLine: Pick<CommandLine, 'hasSwitch' | 'removeSwitch'>): string | undefined {
  const there = refusedSwitches.filter(name => commandLine.hasSwitch(name));
  for (const name of there) if (!sandboxSwitches.some(one => one === name)) commandLine.removeSwitch(name);
  return there[0];
}

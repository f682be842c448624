#!/usr/bin/env node
/* Starts the command line. Old JavaScript on purpose: it has to run far enough on any Node to say what is wrong. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);
const cli = new URL('./cli.ts', import.meta.url);
if (major < 22 || (major === 22 && minor < 12)) {
  console.error(
    `Protagonist needs Node 22.12 or newer and this is ${process.versions.node}: start it through npm, which brings its own (npm run protagonist -- doctor).`,
  );
  process.exitCode = 1;
} else if (major === 22 && minor < 18) {
  // these run TypeScript only when asked to
  const { status } = spawnSync(
    process.execPath,
    ['--experimental-strip-types', '--no-warnings', fileURLToPath(cli), ...process.argv.slice(2)],
    { stdio: 'inherit' },
  );
  process.exitCode = status === null ? 1 : status;
} else {
  const { main } = await import(cli.href);
  process.exitCode = await main(process.argv.slice(2));
}

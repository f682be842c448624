#!/usr/bin/env node
/* Starts the command line. Old JavaScript on purpose: it has to run far enough on any Node to say what is wrong. */
const [major] = process.versions.node.split('.').map(Number);
if (major < 24) {
  console.error(
    `Protagonist needs Node 24 or newer and this is ${process.versions.node}: start it through npm, which brings its own (npm run protagonist -- doctor).`,
  );
  process.exitCode = 1;
} else {
  const { main } = await import('./cli.ts');
  process.exitCode = await main(process.argv.slice(2));
}

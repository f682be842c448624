/** @file `serve`: the library for a browser on this machine, without a window of our own. */
import { event } from '../contract/events.ts';
import { program } from '../media/program.ts';
import { openLibrary } from './library.ts';
import { wholeOf } from './names.ts';
import { printJson, printLines, tell } from './print.ts';
import { untilStopped } from './stop.ts';
import { libraryOptions, type CommonValues, type Verb } from './verb.ts';

export const serve: Verb = {
  name: 'serve',
  takes: '',
  help: 'the library for a browser on this machine, until Ctrl-C',
  more: `It listens on 127.0.0.1 alone. The address holds a secret: whoever has it may do what you may do here.
  It is printed once and changes with each start. From another machine: ssh -L PORT:127.0.0.1:PORT, with the
  same number twice.`,
  options: {
    port: ['text', 'N', 'the port (one that is free if not given)'],
    roots: ['texts', 'DIR...', 'folders that the browser may choose photos, clips and models from'],
    ...libraryOptions,
  },
  uses: [],
  run: async (_, values) => {
    const { json = false, home, port = '0', roots = [] } = values as CommonValues & { port?: string; roots?: string[] };
    const at = wholeOf(port, '--port', 0, 65535);
    const { serveLibrary } = await import('../serve.ts');
    const library = await openLibrary(home);
    try {
      const { transport } = library;
      const host = await serveLibrary({ transport, port: at, roots, window: program.window });
      try {
        const work = () => void transport.call('queue.start', {}); // what waits is made while this host lives
        transport.subscribe(said => {
          if (event.safeParse(said).data?.type === 'restored') work(); // this process may be the owner now
        });
        work();
        if (process.getuid?.() === 0)
          tell('You are root: whoever learns the address acts as root here. Better serve as a user of your own.');
        const { address, origin, roots: named } = host;
        if (json) printJson({ type: 'serving', address, origin, roots: named, pid: process.pid });
        else printLines(['Protagonist answers at', `  ${address}`, 'Open it in a browser on this machine. Ctrl-C ends it.']);
        await untilStopped(signal => new Promise<void>(done => signal.addEventListener('abort', () => done(), { once: true })));
      } finally {
        await host.close();
      }
    } finally {
      await library.close();
    }
    return 0; // being stopped is how this ends
  },
};

/** @file Builds the window: `vite build renderer` writes dist/renderer, which `protagonist serve` and the shell show. */
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vite';
import { licences } from '../build/modules.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };

export default defineConfig({
  root: import.meta.dirname,
  base: './', // the host serves it under /window/, the shell under a scheme of its own
  define: { __VERSION__: JSON.stringify(version) },
  plugins: [svelte({ configFile: false }), licences(join(import.meta.dirname, '..'))],
  build: {
    outDir: '../dist/renderer',
    emptyOutDir: true,
    target: 'chrome140',
    assetsInlineLimit: 0, // `data:` is no source under the policy
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 800, // the first chunk is loaded from this machine, and read once
    rolldownOptions: {
      output: {
        // a hundred small files compress worse than one, and each is a request
        codeSplitting: {
          includeDependenciesRecursively: false,
          groups: [
            // together, so that it is set before any parser is made
            { name: 'parsers', test: /node_modules\/zod|renderer\/jitless/ },
            { name: 'icons', test: /@lucide/ },
            { name: 'settings', test: /renderer\/(components\/settings|views\/Settings)/ },
          ],
        },
      },
    },
  },
});

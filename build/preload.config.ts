/** @file The preload as one CommonJS file: a page in a sandbox gets no other. */
import { join } from 'node:path';
import { defineConfig } from 'vite';

const shell = join(import.meta.dirname, '../electron/shell');
export default defineConfig({
  logLevel: 'warn',
  build: {
    target: 'node24',
    outDir: shell,
    emptyOutDir: false, // the sources lie there
    minify: false,
    lib: { entry: join(shell, 'preload.ts'), formats: ['cjs'], fileName: () => 'preload.cjs' },
    rolldownOptions: { external: ['electron'] },
  },
});

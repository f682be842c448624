/** @file The preload as one CommonJS file: a page in a sandbox gets no other. It lies beside the compiled shell. */
import { join } from 'node:path';
import { defineConfig } from 'vite';

const root = join(import.meta.dirname, '..');
export default defineConfig({
  logLevel: 'warn',
  build: {
    target: 'node24',
    outDir: join(root, 'dist/app/electron/shell'),
    emptyOutDir: false, // the compiled shell lies there
    minify: false,
    lib: { entry: join(root, 'electron/shell/preload.ts'), formats: ['cjs'], fileName: () => 'preload.cjs' },
    rolldownOptions: { external: ['electron'] },
  },
});

import { svelte } from '@sveltejs/vite-plugin-svelte';
import { viteSingleFile } from 'vite-plugin-singlefile';
import { defineConfig } from 'vitest/config';

// One index.html with everything inside: it is embedded in the binary. `npm run dev` proxies to a running node.
export default defineConfig({
  plugins: [svelte(), viteSingleFile()],
  build: { target: 'es2022', outDir: 'dist', emptyOutDir: true },
  server: { proxy: { '/v1': 'http://127.0.0.1:52415', '/healthz': 'http://127.0.0.1:52415' } },
  test: { include: ['src/**/*.test.ts'] },
});

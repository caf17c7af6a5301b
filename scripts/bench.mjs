/* `npm run bench [-- NAME … --json …]`: everything a fresh clone needs, then bench/main.ts, which explains itself with --help. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { bootstrap, root } from './bootstrap.mjs';

try {
  await bootstrap();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
const built = spawnSync(
  process.execPath,
  [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', join(root, 'bench')],
  {
    stdio: ['ignore', 2, 2],
  },
);
if (built.status !== 0) process.exit(1);
await import('../.build-bench/bench/main.js');

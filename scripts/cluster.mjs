/* `npm run cluster -- up|down|status`: the Kubernetes of the tests, kept up while one works on it. */
import { spawnSync } from 'node:child_process';
import { bootstrap, root } from './bootstrap.mjs';

await bootstrap();
const run = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status ?? 1;
process.exitCode =
  run('node_modules/typescript/bin/tsc', '-p', 'test/cluster/node') ||
  run('.build-cluster/test/cluster/node/main.js', ...process.argv.slice(2));

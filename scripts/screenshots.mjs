/* `npm run screenshots`: takes the pictures of docs/temporal-ui.md anew, with the test that clicks through the Temporal UI. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { bootstrap, root } from './bootstrap.mjs';

await bootstrap();
const pictures = join(root, 'docs', 'images');
const run = (program, args, env = {}) =>
  spawnSync(program, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } }).status ?? 1;
process.exitCode =
  run(process.execPath, ['dist/setup/main.js', '--test']) ||
  run(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', 'test/ui'], {
    FERRY_SCREENSHOTS: pictures,
  });

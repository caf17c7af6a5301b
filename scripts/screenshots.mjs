/*
 * `npm run screenshots`: takes the pictures of docs/temporal-ui.md anew, with the test that clicks through the Temporal UI.
 * pngquant (Debian: `apt-get install pngquant`) makes them a third as large.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { bootstrap, root } from './bootstrap.mjs';

await bootstrap();
const pictures = join(root, 'docs', 'images');
const run = (program, args, env = {}) =>
  spawnSync(program, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } }).status ?? 1;
const taken =
  run(process.execPath, ['dist/setup/main.js', '--test']) ||
  run(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', 'test/ui'], {
    FERRY_SCREENSHOTS: pictures,
  });
if (taken === 0) {
  const files = readdirSync(pictures).map((file) => join(pictures, file));
  const squeezed = run('pngquant', ['--force', '--ext=.png', '--strip', '--speed=1', ...files]);
  if (squeezed !== 0) console.error('Without pngquant the pictures are larger than need be.');
}
process.exitCode = taken;

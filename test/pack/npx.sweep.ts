/* `npx` of the package on an empty machine: its own home and caches, and everything from the registry. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { run } from '../../src/setup/run.js';
import { world } from '../support/world.js';
import { pack } from './package.js';

test('npx runs a worker and an upgrade to its receipt', async () => {
  const packed = await pack();
  const w = await world();
  const folder = mkdtempSync(join(tmpdir(), 'ferry-npx-'));
  const children: ChildProcess[] = [];
  try {
    await w.redis('source').set('key', 'value');
    const options = {
      cwd: folder,
      env: {
        PATH: process.env['PATH'],
        HOME: folder,
        npm_config_cache: join(folder, 'cache'),
        // Where a machine's certificates are its own, npm needs to know.
        NODE_EXTRA_CA_CERTS: process.env['NODE_EXTRA_CA_CERTS'] ?? '',
        ...w.env,
      },
      timeoutMs: 300_000,
    };
    const npx = ['--yes', '--package', packed.file, '--', 'ferry'];
    const version = await run('npx', [...npx, '--version'], options);
    expect(version.stdout, version.stderr).toMatch(/^\d+\.\d+\.\d+$/m);
    // In a group of its own: ending npx alone would leave the worker.
    const worker = spawn('npx', [...npx, 'worker'], {
      ...options,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    children.push(worker);
    let said = '';
    worker.stderr.on('data', (text: Buffer) => (said += text.toString()));
    await expect.poll(() => said, { timeout: 60_000 }).toContain('worker ready');
    const doctor = await run('npx', [...npx, 'doctor'], options);
    expect(doctor.ok, doctor.stdout).toBe(true);
    const input = JSON.stringify({
      name: w.name,
      source: { env: 'OLD_REDIS_URL' },
      target: { env: 'NEW_REDIS_URL' },
      writes: 'running',
      watch: '1s',
      repoint: { kind: 'file', path: w.addressFile },
    });
    const gates = ['-g', 'start=auto', '-g', 'cutover=auto'];
    const upgrade = await run(
      'npx',
      [...npx, 'start', 'redisCopy', '-i', input, ...gates, '--wait'],
      options,
    );
    expect(upgrade.ok, upgrade.stderr).toBe(true);
    const receipt = await run('npx', [...npx, 'receipt', w.name, '--json'], options);
    expect(JSON.parse(receipt.stdout)).toMatchObject({ outcome: 'Completed', clean: true });
    expect(await w.redis('target').get('key')).toBe('value');
  } finally {
    for (const { pid } of children) if (pid !== undefined) process.kill(-pid, 'SIGKILL');
    await w.close();
    packed.remove();
    rmSync(folder, { recursive: true, force: true });
  }
});

/* A worker without a Heroku CLI that does: what both strategies answer to their input. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CLI, herokuWorld, type HerokuWorld } from '../support/heroku-world.js';
import { slow } from '../support/slow.js';

const input = { app: 'shop', addon: 'redis-curly-1', targetVersion: '7.2' };

/** Refused by both with the sentence, and Heroku was only asked. */
async function refused(w: HerokuWorld, env: Record<string, string>, says: RegExp): Promise<void> {
  const before = w.apps();
  const { created } = w.heroku.billing();
  w.heroku.requests.length = 0;
  await w.startWorker(env);
  for (const [strategy, more] of [
    ['herokuInPlace', {}],
    ['herokuFork', { mode: 'degraded' }],
  ] as const) {
    const upgrade = await w.start(strategy, { ...input, ...more, name: `${w.name}-${strategy}` });
    const { type, message } = await upgrade.failure();
    expect(type).toBe('ToolMissing');
    expect(message).toMatch(says);
    // The table's word on what to do.
    expect(message).toContain('Install the named program where the worker runs');
  }
  expect(w.heroku.requests.filter(({ method }) => method !== 'GET')).toEqual([]);
  expect(w.apps()).toEqual(before);
  expect(w.heroku.billing().created).toEqual(created);
}

/** Says that it is of that version, and fails at everything else. */
async function cliOf(w: HerokuWorld, version: string): Promise<string> {
  const path = join(w.folder, 'heroku');
  await writeFile(path, `#!/bin/sh\n[ "$1" = --version ] && exec echo heroku/${version} linux\nexit 1\n`);
  await chmod(path, 0o755);
  return path;
}

describe.skipIf(CLI === null)('the Heroku CLI of the worker', { timeout: 120_000 }, () => {
  test('is too old', async () => {
    const w = await herokuWorld({ worker: false });
    const path = await cliOf(w, '9.3.2');
    await refused(
      w,
      { FERRY_HEROKU_CLI: path },
      /the Heroku CLI \S+\/heroku \(FERRY_HEROKU_CLI\) is 9\.3\.2, older than 11\.0\.0\. Update it \(`npm install --global heroku@[\d.]+`\), or name another one in FERRY_HEROKU_CLI/,
    );
  });

  slow('is not where it is said to be', async () => {
    const w = await herokuWorld({ worker: false });
    await refused(
      w,
      { FERRY_HEROKU_CLI: join(w.folder, 'nothing', 'heroku') },
      /the Heroku CLI \S+\/nothing\/heroku \(FERRY_HEROKU_CLI\) does not run: .+\. Update it/,
    );
  });

  slow('is nowhere, and can not be installed', async () => {
    const w = await herokuWorld({ worker: false });
    const bin = join(w.folder, 'bin');
    await mkdir(bin);
    await refused(
      w,
      { FERRY_HEROKU_CLI: '', PATH: bin, FERRY_CACHE: join(w.folder, 'cache') },
      /there is no Heroku CLI on the worker, and none could be installed: /,
    );
  });
});

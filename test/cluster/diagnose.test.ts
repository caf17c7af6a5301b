/* Pods that are really broken, each in its own way: what is found of them, and that looking changes nothing. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import type { Diagnosis } from '../../src/contract.js';
import { CHART, CLUSTER, clusterWorld, R70, R80, type ClusterWorld } from '../support/cluster.js';
import { slow } from '../support/slow.js';
import { sleep } from '../support/world.js';

const CONFIG = 'bind 0.0.0.0\nprotected-mode no\ndir /data\n';
const NOT_READY = { startupProbe: null, readinessProbe: { exec: { command: ['false'] }, periodSeconds: 1 } };

async function diagnosed(w: ClusterWorld, release: string): Promise<Diagnosis> {
  return w.client.workflow.execute('diagnose', {
    taskQueue: w.taskQueue,
    workflowId: `diagnose/${release}/${randomUUID()}`,
    args: [{ namespace: w.namespace, release }],
  }) as Promise<Diagnosis>;
}

/** A pod takes its time to break. */
async function finding(w: ClusterWorld, release: string, what: string) {
  let seen: Diagnosis | null = null;
  for (const until = Date.now() + 180_000; Date.now() < until; await sleep(2_000)) {
    seen = await diagnosed(w, release);
    const found = seen.findings.find((each) => each.what === what);
    if (found) return found;
  }
  throw new Error(`${release} has no finding "${what}": ${JSON.stringify(seen)}`);
}

/** Without waiting for what will never be. */
async function apply(
  w: ClusterWorld,
  verb: 'install' | 'upgrade',
  release: string,
  values: object,
): Promise<void> {
  const file = join(w.folder, `${release}-${verb}.json`);
  await writeFile(file, JSON.stringify(values));
  await w.helm([verb, release, CHART, '-f', file]);
}

describe.skipIf(CLUSTER === null)('diagnose, of pods of the cluster', { timeout: 400_000 }, () => {
  slow('each says what is wrong, what shows it, and what to do; and nothing is deleted', async () => {
    const w = await clusterWorld();
    await w.startWorker();
    await apply(w, 'install', 'redis-image', { image: { tag: '9.9.9' } });
    await apply(w, 'install', 'redis-room', { resources: { requests: { cpu: '900' } } });
    await apply(w, 'install', 'redis-config', {
      redis: { config: `${CONFIG}no-such-directive yes\n` },
    });
    await apply(w, 'install', 'redis-probe', NOT_READY);
    await apply(w, 'install', 'redis-secret', { redis: { existingSecret: 'not-there' } });
    await w.install({ image: { tag: R80 } }, 'redis-newer');
    await w.install({ redis: { config: `${CONFIG}appendonly yes\n` } }, 'redis-aof');
    for (const release of ['redis-newer', 'redis-aof'])
      await (await w.redis({ service: release })).set('key', 'x'.repeat(10_000));
    await (await w.redis({ service: 'redis-newer' })).save();
    await apply(w, 'upgrade', 'redis-newer', { image: { tag: R70 } });
    // Its last bytes are something else than a command, in the middle of the file.
    await w.kubectl([
      ...'exec redis-aof-0 -c redis -- sh -ec'.split(' '),
      'cd /data/appendonlydir && for f in *.incr.aof; do printf "*3 nonsense\\r\\n*2\\r\\n" >>"$f"; done',
    ]);
    await w.kubectl(['delete', 'pod', 'redis-aof-0', '--grace-period=0', '--force']);

    const claims = await w.kubectl(['get', 'pvc', '-o', 'name']);
    for (const [release, what, shows, next] of [
      ['redis-image', 'Image', /ImagePull|ErrImage/, /tag/],
      ['redis-room', 'Room', /cpu/i, /requests/],
      ['redis-config', 'Configuration', /no-such-directive/, /directive/],
      ['redis-probe', 'Probe', /probe failed/, /probe/],
      ['redis-secret', 'Container', /not-there/, /Secret/],
      ['redis-newer', 'RDB version', /Can't handle RDB format version/, /Do not delete/],
      ['redis-aof', 'AOF', /append only file/, /without --fix/],
    ] as const) {
      const found = await finding(w, release, what);
      expect(found.says).toContain(`${release}-0`);
      expect(found.evidence.join('\n')).toMatch(shows);
      expect(found.next).toMatch(next);
    }
    expect(await w.kubectl(['get', 'pvc', '-o', 'name'])).toBe(claims);
  });

  slow('a release that is well: nothing but that it is empty; one that is not there', async () => {
    const w = await clusterWorld();
    await w.startWorker();
    await w.install({ redis: { password: 's3cret-pw' } });
    const { findings, servers } = await diagnosed(w, 'redis');
    expect(findings.map(({ what }) => what)).toEqual(['Keys']);
    expect(servers.join()).toContain(`Redis ${R70}`);
    await (await w.redis({ service: 'redis' }, { password: 's3cret-pw' })).set('key', 'value');
    expect((await diagnosed(w, 'redis')).findings).toEqual([]);
    await expect(diagnosed(w, 'not-there')).rejects.toMatchObject({
      cause: { cause: { message: expect.stringContaining(`no release ${w.namespace}/not-there`) as string } },
    });
  });
});

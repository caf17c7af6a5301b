import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CLUSTER, clusterWorld, R60, R70, R80 } from '../support/cluster.js';
import { slow } from '../support/slow.js';
import { sleep } from '../support/world.js';

const AOF = 'bind 0.0.0.0\nprotected-mode no\ndir /data\nappendonly yes\n';

interface Pod {
  spec: { containers: { image: string }[] };
}

describe.skipIf(CLUSTER === null)('helmInPlace', { timeout: 300_000 }, () => {
  test('from JSON to receipt, with a password, under writers: it is away for seconds, and no acknowledged write is lost', async () => {
    const w = await clusterWorld();
    await w.install({ image: { tag: R70 }, redis: { password: 's3cret-pw' } });
    await w.startWorker();
    const writers = await w.writers({ password: 's3cret-pw' });
    const upgrade = await w.start('helmInPlace', { targetVersion: R80 });
    await upgrade.until('AwaitingApproval', 60_000);
    const { steps } = await upgrade.handle.query<{ steps: { title: string; does: string[] }[] }>('plan');
    const does = steps.find(({ title }) => title === 'Upgrade the release')?.does.join('\n');
    expect(does).toContain(`value image.tag: ${R70} → ${R80}`);
    expect(does).toContain(`k8s.local/redis:${R70} → k8s.local/redis:${R80}`);
    await upgrade.approve('start');
    const receipt = await upgrade.ended(120_000);
    expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
    await sleep(500);
    await writers.stop();
    console.log(
      `away ${writers.longestGap()} ms, ${writers.acknowledged.size} acknowledged, receipt says ${String(receipt.facts['secondsAway'])} s`,
    );
    const redis = await w.redis({ pod: 'redis-0' }, { password: 's3cret-pw' });
    expect(await redis.info('server')).toContain(`redis_version:${R80}`);
    expect(await writers.missing(redis)).toEqual([]);
    expect(writers.longestGap()).toBeLessThan(120_000);
    expect(JSON.stringify(receipt)).not.toContain('s3cret-pw');
    const [folder = ''] = (await readdir(join(w.folder, 'home'), { recursive: true })).filter((name) =>
      /evidence-[^/]*$/.test(name),
    );
    expect(await readdir(join(w.folder, 'home', folder))).toEqual(
      expect.arrayContaining([
        'claims.yaml',
        'log-redis-0.txt',
        'statefulset-redis.yaml',
        `values-${R70}.yaml`,
        `values-${R80}.yaml`,
      ]),
    );
  });

  slow('an image that does not exist: it says so, and goes back with every write', async () => {
    const w = await clusterWorld();
    await w.install({ image: { tag: R70 } });
    await w.startWorker();
    const writers = await w.writers();
    const upgrade = await w.start('helmInPlace', {
      targetVersion: '8.0.9',
      gates: { start: 'auto' },
      backup: false,
    });
    const { decision } = await upgrade.until('NeedsDecision', 120_000);
    expect(decision?.problem).toContain('its image can not be had');
    await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    expect(await upgrade.ended(120_000)).toMatchObject({ outcome: 'RolledBack', left: [] });
    await sleep(500);
    await writers.stop();
    const redis = await w.redis({ pod: 'redis-0' });
    expect(await redis.info('server')).toContain(`redis_version:${R70}`);
    expect(await writers.missing(redis)).toEqual([]);
    const pod = await w.json<Pod>('pod', 'redis-0');
    expect(pod.spec.containers[0]?.image).toContain(R70);
  });

  for (const [from, to, config] of [
    [R70, R80, undefined],
    [R60, R70, AOF],
    [R70, R80, AOF],
  ] as const)
    slow(
      `${from} → ${to}${config ? ' with AOF' : ''}, and back where the old one does not read what the new one wrote: by the backup, said before`,
      async () => {
        const w = await clusterWorld();
        await w.install({ image: { tag: from }, ...(config ? { redis: { config } } : {}) });
        await w.startWorker();
        const before = await w.redis({ service: 'redis' });
        for (let n = 0; n < 300; n += 1) await before.set(`before:${n}`, `value ${n}`);
        const upgrade = await w.start('helmInPlace', {
          targetVersion: to,
          gates: { start: 'auto' },
          probes: [{ name: 'the application', command: ['false'] }],
        });
        const asked = await upgrade.until('NeedsDecision', 120_000);
        expect(asked.wayBack).toMatchObject({ possible: true, keepsWrites: false });
        expect(asked.wayBack.loses).toContain('every write since the backup of');
        const after = await w.redis({ service: 'redis' });
        await after.set('since', 'would be lost');
        await after.call('BGREWRITEAOF').catch(() => '');
        expect(asked.decision?.choices.rollbackLosingWrites).toContain('backup');
        await upgrade.say('decide', { choice: 'rollbackLosingWrites', by: 'ada' });
        const receipt = await upgrade.ended(180_000);
        expect(receipt.outcome).toBe('RolledBack');
        expect(receipt.left.join()).toContain('ferry-aside-');
        const redis = await w.redis({ service: 'redis' });
        expect(await redis.info('server')).toContain(`redis_version:${from}`);
        expect(await redis.dbsize()).toBe(300);
        expect(await redis.get('before:299')).toBe('value 299');
        // Its own files are of its own version: it comes up once more by itself.
        await w.kubectl(['delete', 'pod', 'redis-0', '--wait=true']);
        await w.kubectl(['rollout', 'status', 'statefulset/redis', '--timeout', '60s']);
        expect(await (await w.redis({ service: 'redis' })).dbsize()).toBe(300);
      },
    );
});

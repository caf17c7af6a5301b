/* redisSwitchover with its backups, and with the old server taken out of service at the end. */
import { copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startRedis } from '../../src/setup/servers.js';
import { Redis } from 'ioredis';
import { slow } from '../support/slow.js';
import { application, binaryOf, world, type World, type WorldOptions } from '../support/world.js';
import { seed } from './support.js';

interface Taken {
  folder: string;
  keys: number;
  files: { name: string; bytes: number; sha256: string }[];
}

async function begin(options: WorldOptions = {}): Promise<World> {
  const w = await world(options);
  onTestFinished(() => w.close());
  await w.startWorker();
  await seed(w, 'source', 2_000);
  return w;
}

/** A server that was started with what a backup holds. */
async function loaded(w: World, version: string, { folder }: Taken): Promise<Redis> {
  const dir = join(w.folder, `restored-${version}`);
  await mkdir(dir);
  await copyFile(join(folder, 'dump.rdb'), join(dir, 'dump.rdb'));
  const server = await startRedis({ binary: binaryOf(version), dir });
  const client = new Redis({ port: server.port, host: '127.0.0.1', retryStrategy: null });
  client.on('error', () => undefined);
  onTestFinished(async () => {
    client.disconnect();
    await server.stop();
  });
  return client;
}

const gates = { cutover: 'auto', commit: 'auto' } as const;

describe('redisSwitchover', { timeout: 120_000 }, () => {
  test('a backup of each side; who still uses the old server holds its end', async () => {
    const w = await begin({ sourceArgs: ['--save', '3600 1'] });
    const app = application({ world: w });
    const upgrade = await w.startSwitchover({ backup: true, gates, decommission: { kind: 'shutdown' } });
    // A program that was forgotten.
    await upgrade.until(({ step }) => step === 'Soak', 60_000);
    const forgotten = w.redis('source');
    await forgotten.client('SETNAME', 'forgotten');
    const asked = await upgrade.until('NeedsDecision', 60_000);
    expect(asked.decision?.problem).toContain('forgotten');
    expect(asked.decision?.waivable).toEqual(['Nobody is connected to the old server']);
    forgotten.disconnect();
    await upgrade.say('retry', { by: 'ada' });
    // Days may pass: whoever came since the approver looked stops it.
    await upgrade.until('AwaitingApproval');
    const late = w.redis('source');
    await late.client('SETNAME', 'late');
    await upgrade.approve('decommission');
    const stopped = await upgrade.until('NeedsDecision');
    expect(stopped.decision).toMatchObject({ about: 'Decommission the old server' });
    expect(stopped.decision?.problem).toContain('late');
    late.disconnect();
    await upgrade.say('retry', { by: 'ada' });
    const receipt = await upgrade.ended();
    await app.stop();
    expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [], warnings: [] });
    expect(await app.missing(w.redis('target'))).toEqual([]);
    expect(receipt.facts['decommission']).toMatchObject({
      dataStaysAt: [join(w.folder, 'source', 'dump.rdb')],
    });
    const again = new Redis(w.sourceUrl, { retryStrategy: null, lazyConnect: true });
    again.on('error', () => undefined);
    await expect(again.connect()).rejects.toThrow();

    const { before, after } = receipt.facts['backups'] as Record<'before' | 'after', Taken>;
    for (const { folder, files } of [before, after]) {
      const [listed] = files;
      const content = await readFile(join(folder, 'dump.rdb'));
      expect(listed).toEqual({
        name: 'dump.rdb',
        bytes: content.length,
        sha256: createHash('sha256').update(content).digest('hex'),
      });
    }
    expect(await (await loaded(w, 'r70', before)).dbsize()).toBeGreaterThanOrEqual(2_000);
    const next = await loaded(w, 'r80', after);
    expect(await next.get('seed:0')).toBe('v0');
    expect(await next.dbsize()).toBeGreaterThan(2_000);
    expect(receipt.steps.map(({ title, status }) => `${title}: ${status}`)).toEqual(
      expect.arrayContaining(['Back up the old server: done', 'Back up the new server: done']),
    );
  });

  slow(
    'without: the plan says so, and how old the last save is; rejected, the old server stays',
    async () => {
      const w = await begin();
      const upgrade = await w.startSwitchover({
        gates,
        backup: false,
        decommission: { kind: 'command', command: ['true'] },
      });
      await upgrade.until(({ phase }) => phase === 'AwaitingApproval', 60_000);
      await upgrade.say('reject', { gate: 'decommission', by: 'ada' });
      const receipt = await upgrade.ended();
      expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
      expect(receipt.rejections).toMatchObject([{ gate: 'decommission', by: 'ada' }]);
      expect(receipt.steps.map(({ title }) => title)).not.toContain('Back up the old server');
      expect(receipt.checks.find(({ name }) => name === 'Backup')).toMatchObject({
        status: 'warn',
        actual: expect.stringContaining('saved'),
      });
      expect(receipt.steps.find(({ title }) => title === 'Decommission the old server')).toMatchObject({
        status: 'skipped',
      });
      expect(await w.redis('source').dbsize()).toBe(2_000);
    },
  );

  slow('a command ends it; one that leaves it running is a warning', async () => {
    const w = await begin();
    const told = join(w.folder, 'told');
    const upgrade = await w.startSwitchover({
      gates: { ...gates, decommission: 'auto' },
      backup: { folder: join(w.folder, 'backups') },
      decommission: { kind: 'command', command: `echo "$FERRY_HOST $FERRY_PORT" > '${told}'` },
    });
    const receipt = await upgrade.ended(90_000);
    expect(receipt.outcome).toBe('Completed');
    expect(await readFile(told, 'utf8')).toBe(`127.0.0.1 ${w.source.port}\n`);
    expect(receipt.warnings.join()).toContain('still answers');
    const [of] = await readdir(join(w.folder, 'backups'));
    expect(
      (await readdir(join(w.folder, 'backups', of ?? ''))).map((name) => name.slice(-6)).toSorted(),
    ).toEqual(['-after', 'before']);
  });

  slow('a user who may not: Pre-flight says so; waived and then skipped, the receipt says that', async () => {
    const w = await begin();
    const mover = ['mover', 'on', '>pw', '~*', '&*', '+@all', '-psync', '-replconf'];
    await w.redis('source').call('ACL', 'SETUSER', ...mover);
    const url = w.sourceUrl.replace('redis://', 'redis://mover:pw@');
    const file = join(w.folder, 'mover-url');
    await writeFile(file, url, { mode: 0o600 });
    const upgrade = await w.startSwitchover({ backup: true, gates, source: { file } });
    const held = await upgrade.until('NeedsDecision', 60_000);
    expect(held.decision).toMatchObject({ about: 'Pre-flight', waivable: ['The backup may be read'] });
    await upgrade.say('waive', { check: 'The backup may be read', by: 'ada' });
    const asked = await upgrade.until(({ decision }) => decision?.about === 'Back up the old server', 60_000);
    expect(asked.decision?.problem).toContain('+psync');
    expect(Object.keys(asked.decision?.choices ?? {})).toContain('skip');
    expect(await w.redis('source').info('replication')).toContain('connected_slaves:0');
    await upgrade.say('skip', { by: 'ada' });
    const receipt = await upgrade.ended();
    expect(receipt.outcome).toBe('Completed');
    expect(receipt.blemishes.join()).toContain('"Back up the old server" failed and was skipped');
  });
});

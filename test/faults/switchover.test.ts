/* redisSwitchover under attack: workers killed in the handover, a broken way back, the card typed by hand. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { writer } from '../redis/replication/support.js';
import { startHaproxy } from '../support/haproxy.js';
import { slow } from '../support/slow.js';
import { application, sleep, world, type World, type WorldOptions } from '../support/world.js';
import {
  at,
  begun,
  expectOrdinary,
  expectWhole,
  kill9,
  quickly,
  replaceWorker,
  seed,
  slowRepoint,
  typed,
  until,
} from './support.js';

async function begin(options: WorldOptions = {}): Promise<World> {
  const w = await world(options);
  onTestFinished(() => w.close());
  await w.startWorker();
  await writeFile(w.addressFile, `${w.sourceUrl}\n`);
  await seed(w.redis('source'), 2_000);
  return w;
}

/** The worker dies so many milliseconds into the switch. */
async function killed(ms: number): Promise<void> {
  const w = await begin();
  const app = application({ world: w });
  // It is waited for before the pause, so that there is something to be in the middle of.
  const upgrade = await w.startSwitchover({ canary: {}, gates: { cutover: 'auto', commit: 'auto' } });
  await quickly(upgrade, begun('Switch the applications over'), 60_000);
  await sleep(ms);
  await replaceWorker(w);
  expect(await upgrade.ended(90_000)).toMatchObject({ outcome: 'Completed', blemishes: [] });
  await expectWhole({ w, app, serving: 'target' });
}

describe('redisSwitchover', { timeout: 120_000 }, () => {
  test('the worker is killed 10 ms into the switch: another finishes it', () => killed(10));
  slow.each([0, 30])('the worker is killed %i ms into the switch: another finishes it', (ms) => killed(ms));

  slow.each(['Back up the old server', 'Back up the new server', 'Decommission the old server'])(
    'the worker is killed in "%s": another does it, whole and once',
    async (title) => {
      const w = await begin({ sourceArgs: ['--save', '3600 1'] });
      const folder = join(w.folder, 'backups');
      const app = application({ world: w });
      const upgrade = await w.startSwitchover({
        gates: { cutover: 'auto', commit: 'auto', decommission: 'auto' },
        backup: { folder },
        decommission: { kind: 'shutdown' },
      });
      await quickly(upgrade, begun(title), 60_000);
      await replaceWorker(w);
      const receipt = await upgrade.ended(90_000);
      expect(receipt).toMatchObject({ outcome: 'Completed', blemishes: [] });
      await app.stop();
      expect(await app.missing(w.redis('target'))).toEqual([]);
      await expectOrdinary(w.redis('target'));
      // Nothing half beside the two whole ones.
      const [of = ''] = await readdir(folder);
      const taken = await readdir(join(folder, of));
      expect(taken.map((name) => name.replace(/^backup-\w+-/, '')).toSorted()).toEqual(['after', 'before']);
      for (const name of taken)
        expect((await readdir(join(folder, of, name))).toSorted()).toEqual(
          expect.arrayContaining(['dump.rdb', 'settings.json']),
        );
      const gone = new Redis(w.sourceUrl, { retryStrategy: null, lazyConnect: true });
      gone.on('error', () => undefined);
      await expect(gone.connect()).rejects.toThrow();
    },
  );

  slow.each(['Back up the old server', 'Back up the new server'])(
    'rolled back in "%s": every write is on the old server',
    async (title) => {
      const w = await begin();
      const app = application({ world: w });
      const upgrade = await w.startSwitchover({ gates: { cutover: 'auto' }, backup: true });
      await quickly(upgrade, begun(title), 60_000);
      await upgrade.signal('rollback', { by: 'ada' });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
      await expectWhole({ w, app, serving: 'source' });
      expect(await w.redis('target').dbsize()).toBe(0);
    },
  );

  test('the applications can not be told: the old server takes over again; tried once more, it goes through', async () => {
    const w = await begin();
    const app = application({ world: w });
    const told = join(w.folder, 'may be told');
    const upgrade = await w.startSwitchover({
      gates: { cutover: 'auto', commit: 'auto' },
      repoint: {
        kind: 'command',
        command: `if [ "$FERRY_DIRECTION" = forward ] && [ ! -e '${told}' ]; then exit 1; fi; printf '%s\\n' "$FERRY_URL" > '${w.addressFile}'`,
      },
    });
    const asked = await upgrade.until('NeedsDecision', 60_000);
    expect(asked.decision?.about).toBe('Switch the applications over');
    expect((await w.redis('source').role())[0]).toBe('master');
    await writeFile(told, '');
    await upgrade.say('retry', { by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed' });
    await expectWhole({ w, app, serving: 'target' });
  });

  test('rolled back before the cutover: the new server is empty, and neither has a setting of ours', async () => {
    const w = await begin();
    const before = await settings(w);
    const upgrade = await w.startSwitchover({ linkDownFor: '2h' });
    await upgrade.until(
      (state) => state.gates.some(({ name, status }) => name === 'cutover' && status === 'open'),
      60_000,
    );
    for (const side of ['source', 'target'] as const)
      expect(await w.redis(side).config('GET', 'repl-backlog-ttl')).toEqual(['repl-backlog-ttl', '7200']);
    await upgrade.say('rollback', { by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
    expect(await w.redis('target').dbsize()).toBe(0);
    expect(await settings(w)).toEqual(before);
    for (const side of ['source', 'target'] as const) await expectOrdinary(w.redis(side));
  });

  test('the worker is killed while it goes back: another finishes it, with every write', async () => {
    const w = await begin();
    const app = application({ world: w });
    const upgrade = await w.startSwitchover({ soak: '10m', gates: { cutover: 'auto' } });
    await quickly(upgrade, at('Soak'), 60_000);
    await until('writes on the new server', async () => app.url.includes(`:${w.target.port}`));
    await sleep(300);
    await upgrade.signal('rollback', { by: 'ada' });
    await quickly(upgrade, ({ phase }) => phase === 'RollingBack');
    await sleep(10);
    await replaceWorker(w);
    expect(await upgrade.ended(90_000)).toMatchObject({ outcome: 'RolledBack', left: [] });
    await expectWhole({ w, app, serving: 'source' });
    expect(await w.redis('target').dbsize()).toBe(0);
  });

  slow(
    'a command that the old server does not know breaks the way back: a person is asked at once',
    async () => {
      const w = await begin({ source: 'r70', target: 'r80' });
      const upgrade = await w.startSwitchover({ soak: '10m', gates: { cutover: 'auto' } });
      await upgrade.until(at('Soak'), 60_000);
      const next = w.redis('target');
      await next.hset('session:1', 'user', 'ada');
      await next.call('HEXPIRE', 'session:1', '60', 'FIELDS', '1', 'user');
      const asked = await upgrade.until('NeedsDecision');
      expect(asked.decision?.problem).toContain('does not know');
      expect(asked.wayBack).toMatchObject({ possible: true, keepsWrites: false });
      expect(asked.decision?.choices).not.toHaveProperty('rollback');
      await upgrade.say('waive', { check: 'The way back is open', by: 'ada' });
      await upgrade.approve('commit');
      expect(await upgrade.ended()).toMatchObject({ outcome: 'Completed' });
      expect(await next.exists('session:1')).toBe(1);
    },
  );

  test('the card, typed when nobody is left: the applications are sent to the promoted server', async () => {
    const w = await begin();
    const app = application({ world: w });
    const upgrade = await w.startSwitchover({
      gates: { cutover: 'auto' },
      repoint: slowRepoint(w, { before: 3 }),
    });
    const next = w.redis('target');
    await quickly(upgrade, begun('Switch the applications over'), 60_000);
    await until('the promotion', async () => (await next.role())[0] === 'master');
    const { breakGlass } = await upgrade.state();
    await kill9(w.worker);
    await upgrade.handle.terminate('nobody is there');
    await sleep(3_500);
    await typed(w, breakGlass);
    await until('writes on the new server', async () => app.url.includes(`:${w.target.port}`));
    await app.stop();
    expect(await app.missing(w.redis('target'))).toEqual([]);
    expect((await w.redis('source').role())[0]).toBe('slave');
  });

  test.skipIf(inject('haproxy') === null)(
    'behind HAProxy: forward and back, and no client sees an error',
    async () => {
      const w = await begin();
      const haproxy = await startHaproxy({ source: w.source.port, target: w.target.port });
      onTestFinished(() => haproxy.stop());
      const portFile = join(w.folder, 'port');
      await writeFile(portFile, String(haproxy.port));
      const app = writer({ portFile }, 'list');
      const upgrade = await w.startSwitchover({
        soak: '10m',
        gates: { cutover: 'auto' },
        repoint: {
          kind: 'haproxy',
          socket: haproxy.socket,
          backend: 'redis',
          servers: { source: 'source', target: 'target' },
        },
      });
      await upgrade.until(at('Soak'), 60_000);
      await sleep(500);
      await upgrade.say('rollback', { by: 'ada' });
      expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack', left: [] });
      const { acknowledged, errors } = await app.end();
      expect(errors).toEqual([]);
      expect(acknowledged).toBeGreaterThan(100);
      const list = await w.redis('source').lrange('list', 0, -1);
      expect(list).toEqual(Array.from({ length: acknowledged }, (_, n) => String(n)));
    },
  );
});

/** Everything that replication and handover change. */
async function settings(w: World): Promise<unknown> {
  const names = ['replica-*', 'repl-diskless-load', 'repl-backlog-*', 'master*', 'tls-replication'];
  const of = async (side: 'source' | 'target') => {
    const client = w.redis(side);
    return [
      await Promise.all(names.map((name) => client.config('GET', name))),
      await client.call('ACL', 'USERS'),
    ];
  };
  return { source: await of('source'), target: await of('target') };
}

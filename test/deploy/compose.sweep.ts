/*
 * The whole stack of docker-compose.yml, built and run: an upgrade by a worker in it, its metrics in Prometheus. It runs where a Docker
 * engine does and has the images: `FERRY_SWEEP=1 FERRY_IMAGE_…=… npx vitest run test/deploy`. FERRY_SERVICES names those to start, where
 * an image can't be had.
 */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../src/setup/servers.js';
import { run, which } from '../../src/setup/run.js';

const engine = which('docker') !== null && (await run('docker', ['info'], { timeoutMs: 20_000 })).ok;
const plugin = engine && (await run('docker', ['compose', 'version'])).ok;
const SERVICES = process.env['FERRY_SERVICES']?.split(' ') ?? [];

describe.skipIf(!engine)('docker compose', () => {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    COMPOSE_PROJECT_NAME: `ferry-sweep-${randomBytes(4).toString('hex')}`,
    FERRY_IMAGE: `ferry-sweep-${randomBytes(4).toString('hex')}`,
  };
  const compose = async (...words: string[]) => {
    const [program, first] = plugin ? ['docker', ['compose']] : ['docker-compose', []];
    const ran = await run(program, [...first, ...words], { env, timeoutMs: 900_000 });
    if (!ran.ok)
      throw new Error(`docker compose ${words.join(' ')}: ${ran.why}\n${ran.stdout}\n${ran.stderr}`);
    return ran.stdout;
  };
  const ferry = (...words: string[]) => compose('exec', '-T', 'worker', 'ferry', ...words);
  const redis = (side: string, ...words: string[]) => compose('exec', '-T', side, 'redis-cli', ...words);
  let prometheus = '';

  beforeAll(async () => {
    for (const name of ['TEMPORAL', 'UI', 'OLD_REDIS', 'NEW_REDIS', 'PROMETHEUS', 'GRAFANA'])
      env[`FERRY_PORT_${name}`] = String(await freePort());
    prometheus = `http://127.0.0.1:${env['FERRY_PORT_PROMETHEUS']}/api/v1/query?query=`;
    await compose('build', 'worker');
    await compose('up', '-d', ...SERVICES);
  }, 1_800_000);
  afterAll(async () => {
    await compose('down', '--volumes');
    await run('docker', ['rmi', env['FERRY_IMAGE'] ?? '']);
  }, 300_000);

  test('an upgrade runs to its receipt, and Prometheus saw it', async () => {
    await expect.poll(() => ferry('doctor'), { timeout: 120_000 }).toContain('1 worker polls it');
    const seed = 'for i = 1, 20000 do redis.call("set", "key:" .. i, i) end';
    await redis('old-redis', 'eval', seed, '0');
    const input = JSON.stringify({
      name: 'sessions',
      source: { env: 'OLD_REDIS_URL' },
      target: { env: 'NEW_REDIS_URL' },
      writes: 'running',
      watch: '1s',
      repoint: { kind: 'file', path: '/var/lib/redis-ferry/redis-url' },
    });
    await ferry('start', 'redisCopy', '-i', input, '-g', 'start=auto', '-g', 'cutover=auto', '--wait');
    expect(JSON.parse(await ferry('receipt', 'sessions', '--json'))).toMatchObject({
      outcome: 'Completed',
      clean: true,
    });
    expect((await redis('new-redis', 'dbsize')).trim()).toBe('20000');
    const ended = async () => {
      const query = encodeURIComponent('sum(ferry_upgrades_ended_total{outcome="Completed"})');
      const { data } = (await (await fetch(prometheus + query)).json()) as {
        data: { result: { value: [number, string] }[] };
      };
      return data.result[0]?.value[1];
    };
    await expect.poll(ended, { timeout: 60_000, interval: 1_000 }).toBe('1');
  });

  test('a worker that is told to stop ends in order', async () => {
    const id = (await compose('ps', '-q', 'worker')).trim();
    await compose('stop', 'worker');
    const { stdout } = await run('docker', ['inspect', id, '--format', '{{.State.ExitCode}}']);
    expect(stdout.trim()).toBe('0');
  });
});

/* redisCopy of an app that the real hokusai CLI looks after. */
import { describe, expect, test } from 'vitest';
import { HOKUSAI } from '../../src/setup/hokusai.js';
import { findCli } from '../../src/setup/provider-cli.js';
import { CLUSTER, clusterWorld, R70, R80, type ClusterWorld } from '../support/cluster.js';
import { files, legible, spellings } from '../support/leaks.js';
import { shop, type Shop } from '../support/shop.js';
import { slow } from '../support/slow.js';
import { WORKER_GOES_IN, workerInside } from '../support/worker-inside.js';
import type { Upgrade } from '../support/world.js';

const PATIENCE = 400_000;
const [OLD, NEW] = ['old-s3cret', 'new-s3cret'];
const hokusai = CLUSTER ? await findCli(HOKUSAI, (line) => console.error(line)) : null;
const AT = { app: 'shop', env: 'production', key: 'REDIS_URL' } as const;

interface Begun {
  w: ClusterWorld;
  app: Shop;
  urls: { old: string; new: string };
  start(input?: Record<string, unknown>): Promise<Upgrade>;
}

async function begun({ inside = false } = {}): Promise<Begun> {
  const w = await clusterWorld();
  const values = (tag: string, password: string) => ({
    image: { tag },
    redis: { password },
    persistence: { enabled: false },
  });
  await Promise.all([w.install(values(R70, OLD), 'redis'), w.install(values(R80, NEW), 'redis-new')]);
  const urlOf = async (service: string, password: string) =>
    `redis://default:${password}@${await w.kubectl(['get', 'service', service, '-o', 'jsonpath={.spec.clusterIP}'])}:6379/0`;
  const urls = { old: await urlOf('redis', OLD), new: await urlOf('redis-new', NEW) };
  const app = await shop(w, hokusai?.command[0] ?? '', urls.old);
  if (inside) await hokusaiInside(w, urls.new);
  else await w.startWorker({ ...app.env, NEW_REDIS_URL: urls.new });
  return {
    w,
    app,
    urls,
    async start(input = {}) {
      const whole = {
        name: w.name,
        source: { hokusai: AT },
        target: { env: 'NEW_REDIS_URL' },
        writes: 'running',
        watch: '1s',
        repoint: { kind: 'hokusai', ...AT },
        gates: { start: 'auto', cutover: 'auto' },
        ...input,
      };
      return w.startCopy(whole);
    },
  };
}

/** A worker in the cluster, with no more than docs/deploy.md gives it for apps of hokusai. */
async function hokusaiInside(w: ClusterWorld, url: string): Promise<void> {
  const account = '/var/run/secrets/kubernetes.io/serviceaccount';
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'here',
        cluster: {
          server: 'https://kubernetes.default.svc',
          'certificate-authority': `${account}/ca.crt`,
        },
      },
    ],
    users: [{ name: 'me', user: { tokenFile: `${account}/token` } }],
    contexts: [{ name: 'production', context: { cluster: 'here', user: 'me', namespace: w.namespace } }],
  };
  await w.kubectl(['create', 'configmap', 'kube', `--from-literal=config=${JSON.stringify(kubeconfig)}`]);
  await w.kubectl(['create', 'secret', 'generic', 'new-redis', `--from-literal=url=${url}`]);
  const verbs = ['get', 'list', 'patch'];
  await workerInside(
    w,
    {
      env: [{ name: 'NEW_REDIS_URL', valueFrom: { secretKeyRef: { name: 'new-redis', key: 'url' } } }],
      extraVolumes: [{ name: 'kube', configMap: { name: 'kube' } }],
      extraVolumeMounts: [
        { name: 'kube', mountPath: '/home/node/.kube/config', subPath: 'config', readOnly: true },
      ],
      rbac: {
        chartRules: [
          { apiGroups: [''], resources: ['configmaps'], verbs },
          { apiGroups: ['apps'], resources: ['deployments'], verbs },
        ],
      },
    },
    { hokusai: true },
  );
}

describe.skipIf(hokusai === null)('hokusai', { timeout: 600_000 }, () => {
  test('what is named and is not there is said before anything is changed', async () => {
    const { app, start, urls } = await begun();
    const before = await app.variables();
    for (const [at, says] of [
      [
        { ...AT, app: 'stop' },
        /there is no app stop in production: hokusai finds no ConfigMap stop-environment/,
      ],
      [{ ...AT, env: 'staging' }, /no context "staging"/],
      [{ ...AT, key: 'REDIS_URI' }, /has no variable REDIS_URI/],
    ] as const) {
      const asPlace = await start({
        name: 'p',
        source: { hokusai: AT },
        repoint: { kind: 'hokusai', ...at },
      });
      expect((await asPlace.failure()).message).toMatch(says);
    }
    expect(await app.variables()).toEqual(before);
    expect(await app.urls()).toEqual([urls.old, urls.old]);
  });

  slow(
    'there, under writes, and back: the variable as it was, the app restarted, every acknowledged write',
    async () => {
      const { w, app, urls, start } = await begun();
      const acknowledged = await app.follow();
      const upgrade = await start({ watch: '1h' });
      await upgrade.until(({ step }) => step === 'Watch for stragglers', PATIENCE);
      expect(await app.urls()).toEqual([urls.new, urls.new]);
      expect(await app.variables()).toEqual({
        COLOUR: 'blue and green',
        REDIS_URL: urls.new,
        REDIS_URL_BEFORE_FERRY: urls.old,
      });
      expect(acknowledged.size).toBeGreaterThan(10);
      const target = await w.redis({ pod: 'redis-new-0' }, { password: NEW });
      expect(await target.exists(...acknowledged)).toBe(acknowledged.size);
      const since = await app.follow();
      await expect.poll(() => since.size).toBeGreaterThan(10);
      await upgrade.say('rollback', { by: 'ada' });
      expect(await upgrade.ended(PATIENCE)).toMatchObject({ outcome: 'RolledBack', left: [] });
      expect(await app.urls()).toEqual([urls.old, urls.old]);
      expect(await app.variables()).toEqual({ COLOUR: 'blue and green', REDIS_URL: urls.old });
      const source = await w.redis({ pod: 'redis-0' }, { password: OLD });
      for (const keys of [acknowledged, since]) expect(await source.exists(...keys)).toBe(keys.size);

      const history = legible(await upgrade.handle.fetchHistory());
      const lines = await app.commandLines();
      expect(lines).toContain('hokusai console');
      expect(lines).toContain('hokusai production refresh');
      for (const secret of [OLD, NEW].flatMap(spellings)) {
        expect(history).not.toContain(secret);
        expect(lines).not.toContain(secret);
        expect(await files(`${w.folder}/home`)).not.toContain(secret);
      }
    },
  );

  slow('to the end, with the worker killed while the app restarts', async () => {
    const { w, app, urls, start } = await begun();
    const acknowledged = await app.follow();
    const upgrade = await start();
    await expect
      .poll(async () => (await app.variables())['REDIS_URL'], { timeout: PATIENCE, interval: 50 })
      .toBe(urls.new);
    w.worker?.kill('SIGKILL');
    await w.startWorker({ ...app.env, NEW_REDIS_URL: urls.new });
    expect((await upgrade.ended(PATIENCE)).outcome).toBe('Completed');
    expect(await app.urls()).toEqual([urls.new, urls.new]);
    expect(await app.variables()).toEqual({ COLOUR: 'blue and green', REDIS_URL: urls.new });
    const target = await w.redis({ pod: 'redis-new-0' }, { password: NEW });
    expect(await target.exists(...acknowledged)).toBe(acknowledged.size);
  });

  describe.skipIf(!WORKER_GOES_IN)('from inside the cluster', () => {
    slow('there and back', async () => {
      const { w, app, urls, start } = await begun({ inside: true });
      const acknowledged = await app.follow();
      const upgrade = await start({ watch: '1h' });
      await upgrade.until(({ step }) => step === 'Watch for stragglers', PATIENCE);
      expect(await app.urls()).toEqual([urls.new, urls.new]);
      const target = await w.redis({ pod: 'redis-new-0' }, { password: NEW });
      expect(acknowledged.size).toBeGreaterThan(10);
      expect(await target.exists(...acknowledged)).toBe(acknowledged.size);
      const since = await app.follow();
      await expect.poll(() => since.size).toBeGreaterThan(10);
      await upgrade.say('rollback', { by: 'ada' });
      expect(await upgrade.ended(PATIENCE)).toMatchObject({ outcome: 'RolledBack', left: [] });
      expect(await app.variables()).toEqual({ COLOUR: 'blue and green', REDIS_URL: urls.old });
      const source = await w.redis({ pod: 'redis-0' }, { password: OLD });
      for (const keys of [acknowledged, since]) expect(await source.exists(...keys)).toBe(keys.size);
      expect(await w.kubectl(['logs', 'deploy/ferry-redis-ferry'])).not.toContain(NEW);
    });
  });
});

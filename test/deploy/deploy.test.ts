/* What people run elsewhere, as far as it can be held without Docker; test/deploy/compose.sweep.ts runs it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import { memorySettings } from '../support/deployed.js';

const read = (file: string): string => readFileSync(file, 'utf8');

const Compose = z.object({
  services: z.record(
    z.string(),
    z.object({
      image: z.string(),
      build: z.object({ context: z.string(), args: z.record(z.string(), z.string()) }).optional(),
      environment: z.record(z.string(), z.string()).optional(),
      env_file: z.array(z.string()).optional(),
      ports: z.array(z.string()).optional(),
      volumes: z.array(z.string()).optional(),
      healthcheck: z.object({ test: z.array(z.string()) }).optional(),
      depends_on: z.record(z.string(), z.object({ condition: z.string() })).optional(),
    }),
  ),
  volumes: z.record(z.string(), z.null()),
});
const compose = Compose.parse(parse(read('docker-compose.yml'), { merge: true }));
const services = Object.entries(compose.services);
/** `${NAME:-default}`, and no more. */
const variable = (text: string) =>
  /^\$\{(\w+):-([^}]+)\}$/.exec(text)?.slice(1) as [string, string] | undefined;
const withDefaults = (text: string): string => text.replace(/\$\{\w+:-([^}]*)\}/g, '$1');

describe('docker-compose.yml', () => {
  test('has every service of the stack', () => {
    expect(Object.keys(compose.services).join(' ')).toBe(
      'postgres temporal-schema temporal temporal-namespace temporal-ui old-redis new-redis worker prometheus grafana',
    );
  });

  test('every image is a variable, whose default is one version', () => {
    for (const [name, { image }] of services) {
      const [given, standard] = variable(image) ?? [];
      expect(given, name).toMatch(/^FERRY_IMAGE/);
      if (name !== 'worker') expect(standard, name).toMatch(/:v?\d+\.\d+(\.\d+)?$/);
    }
    const base = variable(compose.services['worker']?.build?.args['BASE'] ?? '');
    expect(base?.[1]).toBe(/^ARG BASE=(.*)$/m.exec(read('Dockerfile'))?.[1]);
  });

  test('.env.example names each of its variables with its default', () => {
    const used = new Map(
      [...read('docker-compose.yml').matchAll(/\$\{(\w+):-([^}]*)\}/g)].map(([, name, value]) => [
        name,
        value,
      ]),
    );
    const told = new Map(
      [...read('.env.example').matchAll(/^#(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
    );
    expect(used.size).toBeGreaterThan(15);
    expect(Object.fromEntries(told)).toEqual(Object.fromEntries(used));
  });

  test('listens on this machine only', () => {
    const ports = services.flatMap(([, service]) => service.ports ?? []);
    expect(ports.length).toBeGreaterThan(4);
    for (const port of ports) expect(withDefaults(port)).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
  });

  test('what it mounts is there', () => {
    const mounts = services.flatMap(([, service]) => service.volumes ?? []);
    expect(mounts.length).toBeGreaterThan(8);
    for (const mount of mounts) {
      const [from = ''] = mount.split(':');
      if (from.startsWith('.')) expect([from, existsSync(from)]).toEqual([from, true]);
      else expect(compose.volumes).toHaveProperty([from]);
    }
    const files = services.flatMap(([, service]) => service.env_file ?? []).map(withDefaults);
    for (const file of files) expect([file, existsSync(file)]).toEqual([file, true]);
  });

  test('nothing is waited for that could not come', () => {
    for (const [name, { depends_on = {} }] of services)
      for (const [other, { condition }] of Object.entries(depends_on)) {
        const awaited = compose.services[other];
        expect(awaited, `${name} waits for ${other}`).toBeDefined();
        if (condition === 'service_healthy') expect(awaited?.healthcheck, other).toBeDefined();
        else expect(condition).toBe('service_completed_successfully');
      }
  });
});

test('the image is built from what .dockerignore lets through', () => {
  const lets = read('.dockerignore')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1));
  for (const name of lets) expect([name, existsSync(name)]).toEqual([name, true]);
  const copied = [...read('Dockerfile').matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, names = '']) =>
    names.split(' '),
  );
  expect(copied.sort()).toEqual(lets.sort());
});

describe('docs/deploy.md', () => {
  const page = read('docs/deploy.md');

  test('shows an input that is one, and the addresses of the compose file', () => {
    const input = /--input '(\{[^']*\})'/.exec(page)?.[1] ?? '';
    expect(RedisCopyInput.parse(JSON.parse(input)).name).toBe('sessions');
    const published = services.flatMap(([, { ports = [] }]) =>
      ports.map((port) => withDefaults(port).split(':')[1]),
    );
    const told = [...page.matchAll(/localhost:(\d+)/g)].map(([, port]) => port);
    expect(new Set(told)).toEqual(new Set(published));
  });

  test("names variables that Temporal's environment configuration reads", () => {
    const told = [...page.matchAll(/^(TEMPORAL_\w+)=(\S+)/gm)].map(([, name = '', value = '']) => [
      name,
      // It reads the files that are named.
      name.endsWith('_PATH') ? 'LICENSE' : value,
    ]);
    const { connectionOptions, namespace } = loadClientConnectConfig({
      overrideEnvVars: Object.fromEntries(told) as Record<string, string>,
    });
    const file = new Uint8Array(readFileSync('LICENSE'));
    expect({ ...connectionOptions, namespace }).toMatchObject({
      address: 'eu-central-1.aws.api.temporal.io:7233',
      namespace: 'platform.a1b2c',
      apiKey: '…',
      tls: { clientCertPair: { crt: file, key: file }, serverRootCACertificate: file },
    });
  });
});

// ── Metrics ──────────────────────────────────────────────────────────────────────────────────────

/** Name → labels, of the tables of docs/metrics.md. */
const METRICS = new Map(
  [...read('docs/metrics.md').matchAll(/^\| `(ferry_\w+)`\s*\| \w+\s*\|([^|]*)\|/gm)].map(
    ([, name = '', labels = '']) => [name, [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label)],
  ),
);

/** What is wrong with an expression: names and labels that no worker tells. */
function unknownIn(expression: string): string[] {
  const names = [...expression.matchAll(/ferry_\w+/g)].map(([name]) => name);
  const metrics = names.map((name) => name.replace(/_(bucket|sum|count)$/, ''));
  const labels = [
    ...[...expression.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/,\s*/)),
    ...[...expression.matchAll(/(\w+)=~?"/g)].map(([, label = '']) => label),
  ];
  const known = new Set<string | undefined>(['le', ...metrics.flatMap((name) => METRICS.get(name) ?? [])]);
  return [
    ...names.filter((name, at) => !METRICS.has(name) && !METRICS.has(metrics[at] ?? '')),
    ...labels.filter((label) => !known.has(label)),
    ...(names.length === 0 ? ['no metric'] : []),
  ];
}

test('docs/metrics.md is read', () => {
  expect(METRICS.get('ferry_upgrades')).toEqual(['phase']);
  expect(METRICS.size).toBeGreaterThan(12);
  expect(unknownIn('sum by (le) (ferry_upgrades{phase="x"})')).toEqual([]);
  expect(unknownIn('max by (face) (ferry_downgrades)')).toEqual(['ferry_downgrades', 'face']);
});

const Rules = z.object({
  groups: z.array(
    z.object({ name: z.string(), rules: z.array(z.looseObject({ alert: z.string(), expr: z.string() })) }),
  ),
});

test('the alerts are those of docs/metrics.md, of metrics that are told', () => {
  const alerts = Rules.parse(parse(read('deploy/alerts.yml')));
  const told = /```yaml\n(groups:[^`]*)```/.exec(read('docs/metrics.md'))?.[1] ?? '';
  expect(alerts).toEqual(parse(told));
  for (const { alert, expr } of alerts.groups.flatMap(({ rules }) => rules))
    expect([alert, unknownIn(expr)]).toEqual([alert, []]);
});

test('Prometheus asks the port that the image tells its metrics at', () => {
  const port = /FERRY_METRICS=\S*:(\d+)/.exec(read('Dockerfile'))?.[1];
  const config = z
    .object({
      rule_files: z.array(z.string()),
      scrape_configs: z.array(
        z.looseObject({
          job_name: z.string(),
          dns_sd_configs: z
            .array(z.object({ names: z.array(z.string()), port: z.number() }).loose())
            .optional(),
        }),
      ),
    })
    .parse(parse(read('deploy/prometheus.yml')));
  const worker = config.scrape_configs.find(({ job_name }) => job_name === 'redis-ferry')
    ?.dns_sd_configs?.[0];
  expect(worker?.names).toEqual(['worker']);
  expect(String(worker?.port)).toBe(port);
  for (const file of config.rule_files) expect(existsSync(join('deploy', file))).toBe(true);
});

test('unit, image and chart keep the memory of a worker small in the same way', async () => {
  const settings = Object.entries(await memorySettings());
  expect(settings.map(([name]) => name)).toContain('NODE_OPTIONS');
  const [image, chart] = [read('Dockerfile'), read('deploy/helm/redis-ferry/templates/deployment.yaml')].map(
    (text) => text.replaceAll('"', ''),
  );
  for (const [name, value] of settings) {
    expect(image).toContain(`${name}=${value}`);
    expect(chart).toContain(`{ name: ${name}, value: ${value} }`);
  }
});

describe('the dashboard', () => {
  const Dashboard = z.object({
    uid: z.string(),
    panels: z.array(
      z.object({
        id: z.number(),
        title: z.string(),
        gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
        datasource: z.object({ uid: z.string() }),
        targets: z.array(
          z.object({ expr: z.string(), refId: z.string(), datasource: z.object({ uid: z.string() }) }),
        ),
      }),
    ),
  });
  const { panels } = Dashboard.parse(JSON.parse(read('deploy/grafana/dashboards/redis-ferry.json')));
  const targets = panels.flatMap((panel) => panel.targets);

  test('shows metrics that are told, and all that matters', () => {
    for (const { title, targets: own } of panels)
      for (const { expr } of own) expect([title, unknownIn(expr)]).toEqual([title, []]);
    const shown = targets.map(({ expr }) => expr).join('\n');
    const untold = [...METRICS.keys()].filter((name) => !shown.includes(name));
    expect(untold).toEqual([]);
  });

  test('asks the datasource that is provisioned, and stands where it is looked for', () => {
    const { datasources } = z
      .object({ datasources: z.array(z.looseObject({ uid: z.string(), url: z.string() })) })
      .parse(parse(read('deploy/grafana/provisioning/datasources/prometheus.yml')));
    const [source] = datasources;
    expect(source?.url).toBe('http://prometheus:9090');
    const uids = new Set([...panels, ...targets].map(({ datasource }) => datasource.uid));
    expect([...uids]).toEqual([source?.uid]);
    const { providers } = z
      .object({ providers: z.array(z.looseObject({ options: z.object({ path: z.string() }) })) })
      .parse(parse(read('deploy/grafana/provisioning/dashboards/redis-ferry.yml')));
    const mounted = compose.services['grafana']?.volumes?.find((mount) =>
      mount.startsWith('./deploy/grafana/dashboards:'),
    );
    expect(mounted?.split(':')[1]).toBe(providers[0]?.options.path);
  });

  test('no panel lies on another', () => {
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, at) => `${x + (at % w)}/${y + Math.floor(at / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  });
});

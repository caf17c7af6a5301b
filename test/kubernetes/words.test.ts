/* What plans of Helm upgrades say of the ways back. */
import { expect, test } from 'vitest';
import type { Check } from '../../src/contract.js';
import { HelmBlueGreenInput } from '../../src/inputs/helm-blue-green.js';
import { HelmDumpRestoreInput } from '../../src/inputs/helm-dump-restore.js';
import { howOf, ofService } from '../../src/workflows/helm-dump-restore-words.js';
import { decisionMatrix } from '../../src/workflows/helm-words.js';

test('each row of the decision matrix is a sentence: when, how, how long, what is lost', () => {
  expect(
    decisionMatrix([
      {
        when: 'before the cutover',
        how: 'green is uninstalled',
        takes: 'a minute',
        loses: 'nothing is lost',
      },
      { when: 'after it', how: 'a copy', takes: 'an hour', loses: 'nothing is lost either' },
    ]),
  ).toEqual([
    'Back, before the cutover: green is uninstalled, a minute; nothing is lost',
    'Back, after it: a copy, an hour; nothing is lost either',
  ]);
});

const ways = (chosen: 'dump' | 'value') => ({
  ways: {
    forward: { chosen, because: chosen === 'value' ? 'Redis 7.0.15 reads RDB versions up to 10' : '' },
    back: { chosen: 'value' as const, because: '' },
    noWayBackFor: [],
    functionsStay: '',
  },
  target: { shown: 'redis/redis-green-0' },
});

test('a snapshot goes over as a file where the new server reads it and has a volume, else key by key', () => {
  const volume = { green: { claims: ['data-redis-green-0'] } };
  expect(howOf(ways('dump'), volume)).toEqual({ file: true, because: '' });
  expect(howOf(ways('value'), volume)).toEqual({
    file: false,
    because: 'Redis 7.0.15 reads RDB versions up to 10',
  });
  const { file, because } = howOf(ways('dump'), { green: { claims: [] } });
  expect(file).toBe(false);
  expect(because).toContain('redis/redis-green-0 has no volume');
});

test('where applications are told otherwise than by Services, no Service has to lead to the new server', () => {
  const checks = ['Takes writes', 'The Service leads there'].map((name): Check => ({
    name,
    status: 'pass',
    expected: '',
    actual: '',
    waivable: false,
  }));
  expect(
    ofService({ kind: 'file', path: '/etc/app/redis-url', template: '{url}' }, checks).map(
      ({ name }) => name,
    ),
  ).toEqual(['Takes writes']);
  expect(ofService({ kind: 'kubernetesService', namespace: 'redis', services: [] }, checks)).toEqual(checks);
});

test.each([HelmBlueGreenInput, HelmDumpRestoreInput])(
  'an app of hokusai uses the Service of the release: its variable is not changed',
  (schema) => {
    const input = {
      name: 'cache',
      namespace: 'redis',
      release: 'redis',
      chart: 'redis',
      targetVersion: '8.0.2',
    };
    expect(schema.safeParse(input).success).toBe(true);
    const repoint = { kind: 'hokusai', app: 'shop', env: 'production', key: 'REDIS_URL' };
    const issues = schema.safeParse({ ...input, repoint }).error?.issues;
    expect(issues).toMatchObject([
      { path: ['repoint'], message: expect.stringContaining('Leave `repoint` out') as unknown },
    ]);
  },
);

/* A surge replica, as far as it is a matter of what was found: its checks, its place in the plan, and the values with and without it. */
import { describe, expect, test } from 'vitest';
import type { RollingFacts } from '../../src/activities/helm-rolling.js';
import type { SurgeFacts } from '../../src/activities/helm-surge.js';
import { HelmRollingInput } from '../../src/inputs/helm-rolling.js';
import { StatefulSet } from '../../src/kubernetes/objects.js';
import { needsOf, needsOfOneMore } from '../../src/kubernetes/room.js';
import { putBack, withValue } from '../../src/kubernetes/values.js';
import { surgeChecks, surgeOf } from '../../src/workflows/helm-rolling-surge.js';

const SURGE: SurgeFacts = {
  pod: 'redis-3',
  was: { replicas: undefined, partition: undefined },
  value: 3,
  refused: '',
  values: ['replication: not given → {"replicas":3}'],
  objects: ['StatefulSet redis: spec.replicas: 3 → 4'],
  claims: ['data-redis-3'],
  taken: [],
  scaledBy: [],
  room: { fitting: 1, lacking: [], storage: '' },
  readers: [],
};

const found = (surge: Partial<SurgeFacts> | null): RollingFacts =>
  ({
    helm: {
      release: { namespace: 'redis', statefulSet: { replicas: 3 } },
      look: { tag: '8.0.2' },
    },
    surge: surge && { ...SURGE, ...surge },
  }) as unknown as RollingFacts;

const input = (more: object = {}) =>
  HelmRollingInput.parse({
    name: 'cache',
    namespace: 'redis',
    release: 'redis',
    chart: './charts/redis',
    targetVersion: '8.0.2',
    ...more,
  });

describe('checks of a surge replica', () => {
  const bad = (surge: Partial<SurgeFacts>) =>
    surgeChecks(found(surge))
      .filter(({ status }) => status !== 'pass')
      .map(({ name, status, actual, waivable }) => ({ name, status, actual, waivable }));

  test('none without one, and all pass where it can be had', () => {
    expect(surgeChecks(found(null))).toEqual([]);
    expect(bad({})).toEqual([]);
  });

  test('a chart that does not take the number is refused, by what was tried', () => {
    const refused = 'replication.replicas: 3 makes 3; replication.replicas: 4 makes 3';
    expect(bad({ value: null, refused, room: null })).toEqual([
      { name: 'The chart can have one replica more', status: 'fail', actual: refused, waivable: false },
    ]);
  });

  test('a claim that was there before is refused, and nobody may wave that through', () => {
    expect(bad({ taken: ['data-redis-3'] })).toEqual([
      {
        name: 'The surge replica begins empty',
        status: 'fail',
        actual: 'data-redis-3 is there',
        waivable: false,
      },
    ]);
  });

  test('an autoscaler is refused; where none may be looked for, it says so', () => {
    const name = 'Nobody else sets the number of pods';
    expect(bad({ scaledBy: ['redis'] })).toEqual([
      { name, status: 'fail', actual: 'redis', waivable: false },
    ]);
    expect(bad({ scaledBy: null })).toMatchObject([{ name, status: 'warn' }]);
  });

  test('no room, a quota, and who reads from replicas are said', () => {
    const room = { fitting: 0, lacking: ['quota: pods 3 of 3 are used'], storage: '' };
    expect(bad({ room, readers: ['redis-read'] })).toMatchObject([
      { name: 'Room for the surge replica', status: 'fail', waivable: true },
      { name: 'Quota of the namespace', status: 'fail', waivable: false },
      { name: expect.stringContaining('Nobody reads') as unknown, status: 'warn', actual: 'redis-read' },
    ]);
  });
});

describe('what the steps are told', () => {
  test('the value with one more, and what it was', () => {
    expect(surgeOf(found({}), input({ surge: true }), 'run')).toEqual({
      pod: 'redis-3',
      claims: ['data-redis-3'],
      mark: 'run',
      path: 'replication.replicas',
      value: 3,
      before: [{ path: 'replication.replicas', was: undefined }],
      chart: './charts/redis',
      brings: { path: 'image.tag', tag: '8.0.2' },
    });
  });

  test('where the chart sets the partition, that is put back too', () => {
    const was = { replicas: 2, partition: 0 };
    const surge = surgeOf(found({ was }), input({ surge: true, paths: { partition: 'hold' } }), 'run');
    expect(surge?.before).toEqual([
      { path: 'replication.replicas', was: 2 },
      { path: 'hold', was: 0 },
    ]);
  });

  test('nothing where none is asked for', () => {
    expect(surgeOf(found(null), input(), 'run')).toBeUndefined();
  });
});

test('a value is put back as it was: changed, or not given at all', () => {
  const given = { mode: 'replica', replication: { auth: true } };
  for (const values of [given, { mode: 'replica' }, { replication: { replicas: 2 } }, {}]) {
    const was = (values as { replication?: { replicas?: number } }).replication?.replicas;
    expect(putBack(withValue(values, 'replication.replicas', 3), 'replication.replicas', was)).toEqual(
      values,
    );
  }
});

describe('room for one pod more', () => {
  const set = (affinity: object | null) =>
    StatefulSet.parse({
      metadata: { name: 'redis' },
      spec: {
        replicas: 4,
        selector: {},
        template: {
          spec: {
            affinity,
            containers: [{ name: 'redis', resources: { requests: { cpu: '100m', memory: '1Gi' } } }],
          },
        },
      },
    });
  const apart = (topologyKey: string) => ({
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey, labelSelector: {} }],
    },
  });

  test('it is one pod, and no further StatefulSet', () => {
    expect(needsOf(set(null))).toMatchObject({ pods: 4, statefulSets: 1, notOn: [] });
    expect(needsOfOneMore(set(null), ['a', 'b'])).toMatchObject({
      pods: 1,
      statefulSets: 0,
      notOn: [],
      each: { cpu: 0.1, memory: 2 ** 30 },
    });
  });

  test('pods that may not share a node need one of their own', () => {
    expect(needsOfOneMore(set(apart('kubernetes.io/hostname')), ['a', 'b']).notOn).toEqual(['a', 'b']);
    expect(needsOfOneMore(set({ nodeAffinity: {} }), ['a', 'b']).notOn).toEqual([]);
    expect(needsOfOneMore(set(apart('topology.kubernetes.io/zone')), ['a', 'b']).notOn).toEqual([]);
  });
});

import { describe, expect, test } from 'vitest';
import { objectDifferences, objectsIn, refusedChanges } from '../../src/kubernetes/manifest.js';
import {
  differences,
  merged,
  targetTag,
  valueAt,
  withoutSecrets,
  withValue,
} from '../../src/kubernetes/values.js';

describe('values', () => {
  test('are merged as helm merges them', () => {
    const given = { image: { repository: 'redis', tag: '7.0.15' }, args: ['a', 'b'], mode: 'replica' };
    const more = { image: { tag: '8.0.2' }, args: ['c'], mode: null };
    expect(merged(given, more)).toEqual({ image: { repository: 'redis', tag: '8.0.2' }, args: ['c'] });
    expect(withValue(given, 'image.tag', 'x')).toMatchObject({ image: { repository: 'redis', tag: 'x' } });
    expect(withValue({}, 'a.b.c', 1)).toEqual({ a: { b: { c: 1 } } });
    expect(valueAt(given, 'image.tag')).toBe('7.0.15');
    expect(valueAt(given, 'image.tag.more')).toBeUndefined();
  });

  test('the tag is the one that was said, else the old one with the version in it replaced', () => {
    const on = { path: 'image.tag', version: '7.0.15', targetVersion: '8.0.2' };
    const tag = (given: object, values: object) =>
      targetTag({ ...on, given: { image: given }, values: { image: values } });
    expect(tag({ tag: '7.0.15' }, {})).toBe('8.0.2');
    expect(tag({ tag: '7.0.15-alpine' }, {})).toBe('8.0.2-alpine');
    expect(tag({ tag: 'latest' }, {})).toBe('8.0.2');
    expect(tag({ tag: '7.0.15-alpine' }, { tag: '8.0.2-bookworm' })).toBe('8.0.2-bookworm');
  });

  test('differences are said, and no secret in them', () => {
    const before = {
      image: { tag: '7' },
      redis: { password: 'old-one', config: 'save 900 1\nrequirepass a\n' },
    };
    const after = {
      image: { tag: '8' },
      redis: { password: 'new-one', config: 'save 60 1\nrequirepass b\n' },
    };
    const said = differences(before, after);
    expect(said).toEqual([
      'image.tag: 7 → 8',
      'redis.config: - save 900 1, - requirepass ***, + save 60 1, + requirepass ***',
      'redis.password: changed (not shown)',
    ]);
    expect(JSON.stringify(withoutSecrets(before))).not.toContain('old-one');
  });
});

const SET = (image: string, storage: string) => `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: redis, labels: {helm.sh/chart: redis-${image}}}
spec:
  template:
    metadata: {annotations: {checksum/config: "${image}"}}
    spec:
      containers:
        - {name: redis, image: "redis:${image}"}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {resources: {requests: {storage: ${storage}}}}
---
apiVersion: v1
kind: Secret
metadata: {name: redis}
data: {redis-password: ${Buffer.from(image).toString('base64')}}
`;

test('objects: what changes is said, by names and not by places, and what a Secret holds is not', () => {
  const [before, after] = [objectsIn(SET('7', '8Gi')), objectsIn(SET('8', '8Gi'))];
  expect(objectDifferences(before, after)).toEqual([
    'Secret redis: changes',
    'StatefulSet redis: spec.template.spec.containers.redis.image: redis:7 → redis:8',
  ]);
  expect(objectDifferences(before, before)).toEqual([]);
  expect(refusedChanges(before[0], after[0])).toEqual([]);
});

test('what Kubernetes never changes is found before it refuses', () => {
  const [before, after] = [objectsIn(SET('7', '8Gi')), objectsIn(SET('7', '1Gi'))];
  expect(refusedChanges(before[0], after[0]).join()).toContain('volumeClaimTemplates');
});

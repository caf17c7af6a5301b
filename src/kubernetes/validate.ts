/** After a pod was made anew: whether everything is as it was, but for the version. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Check } from '../contract.js';
import { redact } from '../platform/redact.js';
import type { ServerAddress } from '../redis/address.js';
import { describe, type ServerFacts } from '../redis/describe.js';
import { countKeys } from '../redis/keyspace.js';
import { check, count, productOf } from '../redis/preflight/check.js';
import { kubectl, type Namespace } from './kubectl.js';
import type { ReleaseFacts } from './release.js';
import { getJson } from './kubectl.js';
import { EndpointSlices, readyBehind } from './objects.js';

export interface AfterRestart {
  where: Namespace & { signal: AbortSignal };
  release: ReleaseFacts;
  service: string;
  version: string;
  /** Of the old server, right before its end. */
  before: { keys: number; lasting: number; persistence: ServerFacts['persistence']; maxmemoryPolicy: string };
  address: ServerAddress;
  /** Of our connections. */
  name: string;
  /** Why a key could not be written and read; empty: it could. */
  written: string;
}

export async function validateAfter(on: AfterRestart): Promise<Check[]> {
  const { where, release, address, name, before } = on;
  const server = await describe({ address, name, signal: where.signal });
  const { keys, lasting } = await countKeys({ address, name, signal: where.signal });
  const pod = release.pods[0]?.name ?? '';
  const behind = await settledBehind(where, on.service, pod);
  const warnings = await warningsOf(where, { pod, container: release.statefulSet.container });
  const fewer = lasting < before.lasting;
  const saves =
    server.persistence.aof === before.persistence.aof && server.persistence.save === before.persistence.save;
  return [
    check({
      name: 'Version after the upgrade',
      expected: on.version,
      actual: productOf(server),
      ...(server.version === on.version ? {} : { status: 'fail', waivable: true }),
    }),
    check({
      name: 'Takes writes',
      expected: 'PING, and a key written, read and removed',
      actual: on.written || 'it does',
      ...(on.written === '' ? {} : { status: 'fail' }),
    }),
    check({
      name: 'Keys are there',
      expected: `about ${count(before.lasting, 'key')} that do not expire, as before`,
      actual: `${lasting.toLocaleString('en')}, of ${count(keys, 'key')} in all`,
      ...(fewer
        ? {
            status: lasting < before.lasting * 0.99 ? 'fail' : 'warn',
            waivable: true,
            next: 'Applications may have removed some. If they did not, go back: the log says what was loaded.',
          }
        : {}),
    }),
    check({
      name: 'Saving is as before',
      expected: savingSays(before.persistence),
      actual: savingSays(server.persistence),
      ...(saves
        ? {}
        : { status: 'warn', next: 'Look at the values of the new version (`save`, `appendonly`).' }),
    }),
    check({
      name: 'Eviction is as before',
      expected: before.maxmemoryPolicy,
      actual: server.maxmemoryPolicy,
      ...(server.maxmemoryPolicy === before.maxmemoryPolicy
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: 'A policy that evicts deletes keys. Set `maxmemory-policy` in the values as it was, unless that is wanted.',
          }),
    }),
    check({
      name: 'The Service leads there',
      expected: `${on.service} leads to ${pod}`,
      actual: behind.join(', ') || 'nobody',
      ...(behind.length === 1 && behind[0] === pod
        ? {}
        : { status: 'fail', waivable: true, next: 'Look at its selector, and whether the pod is ready.' }),
    }),
    check({
      name: 'Log of the server',
      expected: 'no warnings since it started',
      actual: warnings.length === 0 ? 'none' : warnings.slice(0, 3).join(' | '),
      ...(warnings.length === 0
        ? {}
        : { status: 'warn', next: 'Read them: a setting may be gone, or the node lack one.' }),
    }),
  ];
}

function savingSays({ aof, save }: ServerFacts['persistence']): string {
  return (
    [aof ? 'AOF' : '', save === null ? 'save not known' : save === '' ? '' : `save ${save}`]
      .filter(Boolean)
      .join(', ') || 'nothing is saved'
  );
}

/** A pod counts as not ready for a moment when its node's agent was restarted. */
const READY_AGAIN_WITHIN_MS = 15_000;

/** Once the Service leads to this pod alone; what it leads to instead, where it does not come to that. */
async function settledBehind(where: AfterRestart['where'], service: string, pod: string): Promise<string[]> {
  for (const until = Date.now() + READY_AGAIN_WITHIN_MS; ;) {
    const behind = await podsBehind(where, service);
    if ((behind.length === 1 && behind[0] === pod) || Date.now() > until) return behind;
    await sleep(1_000, undefined, { signal: where.signal });
  }
}

/** Pods that the Service leads to now. */
export async function podsBehind(
  where: Namespace & { signal?: AbortSignal },
  service: string,
): Promise<string[]> {
  const what = ['endpointslices', '-l', `kubernetes.io/service-name=${service}`];
  return readyBehind(await getJson({ ...where, what, schema: EndpointSlices }));
}

/** Redis marks warnings with `#`. Those of the node, which stood there before, are left out. */
const KNOWN =
  /overcommit|Transparent Huge Pages|somaxconn|TCP backlog|WARNING: The TCP|oO0OoO0OoO0Oo|just started/;

export async function warningsOf(
  where: Namespace & { signal: AbortSignal },
  { pod, container }: { pod: string; container: string },
): Promise<string[]> {
  const log = await kubectl({
    ...where,
    args: ['logs', pod, '-c', container, '--tail', '200'],
  }).catch(() => '');
  return redact(log)
    .split('\n')
    .filter((line) => / # /.test(line) && !KNOWN.test(line))
    .map((line) => line.replace(/^.* # /, '').slice(0, 160));
}

/* One Temporal server and one list of Redis servers for all tests of a run. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
// Without it the compiler doesn't know the module that is extended below.
import type {} from 'vitest';
import type { TestProject } from 'vitest/node';
import type { FoundRedis } from '../src/setup/redis.js';
import { which } from '../src/setup/run.js';
import { startTemporal } from '../src/setup/servers.js';
import { findTools } from '../src/setup/tools.js';
import { nodeStands, startNode, stopNode } from './cluster/node/node.js';
import { whyNoCluster } from './cluster/node/programs.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** `host:port` of a Temporal server with the search attribute FerryPhase. */
    temporalAddress: string;
    /** Every Redis and Valkey there is here, oldest first. */
    redisServers: FoundRedis[];
    /** What the tests of the Temporal UI need: a browser, and a Temporal server that they start; null where either is missing. */
    ui: { browser: string; temporal: string } | null;
    /** HAProxy's program; null where there is none. */
    haproxy: string | null;
    /** The Heroku CLI's program; null where there is none. */
    herokuCli: string | null;
    /** A real Kubernetes, and the folder of kubectl and helm; null where there is none. */
    cluster: { kubeconfig: string; bin: string } | null;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const tools = await findTools(process.env['FERRY_SWEEP'] === undefined ? 'test' : 'sweep', (line) =>
    console.error(line),
  );
  project.provide('redisServers', tools.redis);
  project.provide('haproxy', tools.haproxy?.path ?? null);
  project.provide('herokuCli', tools.heroku?.command.at(-1) ?? null);
  const cluster = await findCluster((line) => console.error(line));
  project.provide('cluster', cluster.provided);
  const { browser, temporal: found } = tools;
  project.provide(
    'ui',
    browser && found.kind === 'binary' ? { browser: browser.path, temporal: found.path } : null,
  );
  if (tools.temporal.kind === 'server') {
    console.error(
      'TEMPORAL_ADDRESS is set: the tests of the Temporal UI, which start their own, are skipped.',
    );
    project.provide('temporalAddress', tools.temporal.address);
    return cluster.stop;
  }
  const folder = await mkdtemp(join(tmpdir(), 'ferry-temporal-'));
  const temporal = await startTemporal({ binary: tools.temporal.path, log: join(folder, 'server.log') });
  project.provide('temporalAddress', temporal.address);
  return async () => {
    await cluster.stop();
    await temporal.stop();
    await rm(folder, { recursive: true, force: true });
  };
}

interface Cluster {
  provided: { kubeconfig: string; bin: string } | null;
  stop: () => Promise<void>;
}

/**
 * Somebody's own, where they say that it may be used for tests; else one of ours, where `npm test` wants one and it can be had. It is left
 * up where it was up before.
 */
async function findCluster(say: (line: string) => void): Promise<Cluster> {
  const none = { provided: null, stop: async () => {} };
  const { KUBECONFIG, FERRY_TEST_CLUSTER, FERRY_CLUSTER } = process.env;
  const kubectl = which('kubectl');
  if (FERRY_TEST_CLUSTER === '1' && KUBECONFIG && kubectl !== null && which('helm') !== null)
    return { ...none, provided: { kubeconfig: KUBECONFIG, bin: dirname(kubectl) } };
  if (FERRY_CLUSTER !== 'up') return none;
  const why = whyNoCluster();
  if (why !== null) {
    say(`No Kubernetes for the tests: it ${why}. Those of Helm are left out.`);
    return none;
  }
  const leave = (await nodeStands()).length > 0;
  try {
    const provided = await startNode(say);
    return { provided, stop: () => (leave ? Promise.resolve() : stopNode(say)) };
  } catch (error) {
    say(
      `No Kubernetes for the tests: ${error instanceof Error ? error.message : String(error)}\nThose of Helm are left out.`,
    );
    if (!leave) await stopNode(say);
    return none;
  }
}

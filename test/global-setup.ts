/* One Temporal server and one list of Redis servers for all tests of a run. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
// Without it the compiler doesn't know the module that is extended below.
import type {} from 'vitest';
import type { TestProject } from 'vitest/node';
import { readable, type FoundPostgres } from '../src/setup/postgres.js';
import type { FoundRedis } from '../src/setup/redis.js';
import { which } from '../src/setup/run.js';
import type { FoundS3 } from '../src/setup/s3.js';
import { startTemporal } from '../src/setup/servers.js';
import { findTools } from '../src/setup/tools.js';
import { whyNoCluster } from './cluster/node/programs.js';
import { useNode } from './cluster/node/users.js';

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
    /** Servers of PostgreSQL, oldest first, of which the last has its tools; none where there is none. */
    postgresServers: FoundPostgres[];
    /** The program of a server that speaks S3; null where there is none. */
    s3: FoundS3 | null;
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
  project.provide('s3', tools.s3);
  const postgres = await Promise.all(tools.postgres.map(readable));
  project.provide(
    'postgresServers',
    postgres.map(({ found }) => found),
  );
  const forget = async () => void (await Promise.all(postgres.map(({ remove }) => remove())));
  const cluster = await findCluster(project, (line) => console.error(line));
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
    return async () => {
      await cluster.stop();
      await forget();
    };
  }
  const folder = await mkdtemp(join(tmpdir(), 'ferry-temporal-'));
  const temporal = await startTemporal({ binary: tools.temporal.path, log: join(folder, 'server.log') });
  project.provide('temporalAddress', temporal.address);
  return async () => {
    await cluster.stop();
    await forget();
    await temporal.stop();
    await rm(folder, { recursive: true, force: true });
  };
}

interface Cluster {
  provided: { kubeconfig: string; bin: string } | null;
  stop: () => Promise<void>;
}

/**
 * Somebody's own, where they say that it may be used for tests; else one of ours, where a file of test/cluster/ is going to be run and a
 * cluster can be had here.
 */
async function findCluster(project: TestProject, say: (line: string) => void): Promise<Cluster> {
  const none = { provided: null, stop: async () => {} };
  const { KUBECONFIG, FERRY_TEST_CLUSTER } = process.env;
  const folder = `${resolve('test/cluster')}/`;
  const asked = project.vitest.state.getPaths().some((path) => path.startsWith(folder));
  // Histories are recorded there too.
  if (!asked && process.env['FERRY_RECORD'] === undefined) return none;
  if (FERRY_TEST_CLUSTER === '1') {
    const kubectl = which('kubectl');
    if (KUBECONFIG && kubectl !== null && which('helm') !== null)
      return { ...none, provided: { kubeconfig: KUBECONFIG, bin: dirname(kubectl) } };
    say(
      'No Kubernetes for the tests: FERRY_TEST_CLUSTER=1 takes the one of KUBECONFIG, with kubectl and helm on PATH. Those of Helm are left out.',
    );
    return none;
  }
  const why = await whyNoCluster();
  if (why !== null) {
    say(`No Kubernetes for the tests: it ${why}. Those of Helm are left out.`);
    return none;
  }
  try {
    const { kubeconfig, bin, leave } = await useNode(say);
    return { provided: { kubeconfig, bin }, stop: leave };
  } catch (error) {
    say(
      `No Kubernetes for the tests: ${error instanceof Error ? error.message : String(error)}\nThose of Helm are left out.`,
    );
    return none;
  }
}

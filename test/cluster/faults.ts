/* What befalls an upgrade of a release, from outside: a worker that dies, an API server or a node agent that is away, another helm. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import { z } from 'zod';
import type { Phase, Receipt, State } from '../../src/contract.js';
import { CLUSTER, type ClusterWorld, type Writers } from '../support/cluster.js';
import { link, type Link } from '../support/link.js';
import { sleep, type Upgrade } from '../support/world.js';
import { homeOfNode, restart } from './node/processes.js';

/** Of every wait here. A busy machine is late, not wrong. */
export const PATIENCE = 300_000;

/** Where it waits for somebody, that is what it should say. */
export async function ended(upgrade: Upgrade): Promise<Receipt> {
  return upgrade.ended(PATIENCE).catch(async (error: unknown) => {
    const { phase, step, decision } = await upgrade.state();
    throw new Error(`${phase} at ${step}: ${decision?.problem ?? ''}`, { cause: error });
  });
}

/** Once in every step, or in those named, as it begins. Which steps these were. */
export function inEveryStep(
  upgrade: Upgrade,
  befalls: (step: string) => Promise<void>,
  only?: readonly string[],
): Promise<Set<string>> {
  return onceInEach(upgrade, {
    of: ({ step }) => (step && (only ?? [step]).includes(step) ? step : undefined),
    until: ['Completed', 'NeedsDecision'],
    befalls,
  });
}

/** Once in every step, at any moment of it; another worker goes on. Which steps these were. `before`: done as each is reached. */
export function killedInEveryStep(
  w: ClusterWorld,
  upgrade: Upgrade,
  before: (step: string) => Promise<void> = async () => {},
): Promise<Set<string>> {
  return inEveryStep(upgrade, async (step) => {
    await before(step);
    await replaceWorkerSoon(w);
  });
}

/** Once in every undo, at any moment of it; another worker goes on. Which steps were undone then. */
export function killedInEveryUndo(w: ClusterWorld, upgrade: Upgrade): Promise<Set<string>> {
  return onceInEach(upgrade, {
    of: ({ steps }) => steps.find(({ status }) => status === 'undoing')?.title,
    until: ['RolledBack', 'NeedsDecision'],
    befalls: () => replaceWorkerSoon(w),
  });
}

async function onceInEach(
  upgrade: Upgrade,
  on: {
    of: (state: State) => string | null | undefined;
    until: readonly Phase[];
    befalls: (title: string) => Promise<void>;
  },
): Promise<Set<string>> {
  const seen = new Set<string>();
  for (;;) {
    const state = await upgrade.state().catch(() => null);
    if (state && on.until.includes(state.phase)) return seen;
    const title = state && on.of(state);
    if (title && !seen.has(title)) {
      seen.add(title);
      await on.befalls(title);
    }
    await sleep(20);
  }
}

export async function replaceWorker(w: ClusterWorld): Promise<void> {
  w.worker?.kill('SIGKILL');
  await w.startWorker();
}

async function replaceWorkerSoon(w: ClusterWorld): Promise<void> {
  await sleep(Math.random() * 1_500);
  await replaceWorker(w);
}

/** Whoever wrote has written again, where `again`, and stopped: what the release lacks of it. Prints what was seen. */
export async function lackingOf(
  w: ClusterWorld,
  writers: Writers,
  { again = true, password }: { again?: boolean; password?: string | undefined } = {},
): Promise<{ redis: Redis; missing: string[] }> {
  if (again) await writers.more(100, 60_000);
  await writers.stop();
  const redis = await w.redis({ service: 'redis' }, { password });
  const missing = await writers.missing(redis);
  console.log(
    `longest gap ${writers.longestGap()} ms, ${writers.acknowledged.size} acknowledged, ${missing.length} missing`,
  );
  return { redis, missing };
}

/** A worker that reaches the API server by a link, which can be severed: for nobody else is it away. */
export async function workerBehindLink(w: ClusterWorld): Promise<Link> {
  const config = await readFile(CLUSTER?.kubeconfig ?? '', 'utf8');
  const [, port = ''] = /https:\/\/127\.0\.0\.1:(\d+)/.exec(config) ?? [];
  const way = await link(Number(port), onTestFinished);
  const kubeconfig = join(w.folder, 'kubeconfig');
  await writeFile(kubeconfig, config.replace(`127.0.0.1:${port}`, way.at), { mode: 0o600 });
  await w.startWorker({ KUBECONFIG: kubeconfig });
  return way;
}

export async function away(way: Link, ms = 30_000): Promise<void> {
  way.sever();
  await sleep(ms);
  way.mend();
}

/** It is terminated, and what it left is undone by its journal. */
export async function recovered(w: ClusterWorld, upgrade: Upgrade): Promise<unknown> {
  await upgrade.handle.terminate('a test');
  const recovery = await w.client.workflow.start('recover', {
    taskQueue: w.taskQueue,
    workflowId: `recover/${upgrade.id}`,
    args: [{ workflowId: upgrade.id, by: 'ada' }],
  });
  return recovery.result();
}

/** Only the node that the tests brought up themselves has an agent that they may restart. */
export const OWN_NODE = CLUSTER?.kubeconfig === join(homeOfNode(), 'admin.conf');

/** Pods go on meanwhile; what goes through the agent (exec, logs, port-forward) is cut off. */
export function restartKubelet(): Promise<void> {
  return restart(homeOfNode(), 'kubelet');
}

const Secret = z.object({ data: z.object({ release: z.string() }) });
const Record = z.looseObject({ version: z.number(), info: z.looseObject({}) });

/**
 * What a helm that was killed in the middle of an upgrade leaves: one revision more, pending. Its values are those of the last one; helm
 * keeps both as gzipped JSON in a Secret.
 */
export async function leftPending(w: ClusterWorld, release = 'redis'): Promise<void> {
  const names = (await w.kubectl(['get', 'secret', '-l', `owner=helm,name=${release}`, '-o', 'name']))
    .split('\n')
    .filter(Boolean);
  const version = Math.max(...names.map((name) => Number(name.slice(name.lastIndexOf('.v') + 2))));
  const last = Secret.parse(await w.json('secret', `sh.helm.release.v1.${release}.v${version}`));
  const text = Buffer.from(Buffer.from(last.data.release, 'base64').toString(), 'base64');
  const record = Record.parse(JSON.parse(gunzipSync(text).toString()));
  record.version = version + 1;
  record.info = { ...record.info, status: 'pending-upgrade', description: 'Preparing upgrade' };
  const packed = gzipSync(JSON.stringify(record)).toString('base64');
  await w.kubectl(
    ['create', '-f', '-'],
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'helm.sh/release.v1',
      metadata: {
        name: `sh.helm.release.v1.${release}.v${version + 1}`,
        labels: { owner: 'helm', name: release, status: 'pending-upgrade', version: String(version + 1) },
      },
      data: { release: Buffer.from(packed).toString('base64') },
    }),
  );
}

/** As the message of such a release says. */
export async function endPending(w: ClusterWorld, revision: number, release = 'redis'): Promise<void> {
  await w.helm(['rollback', release, String(revision)]);
}

/** A volume of so many megabytes indeed, which calls itself larger: what is written beyond them fails. Its storage class, and what
 * makes it larger. */
export async function smallVolume(
  w: ClusterWorld,
  { megabytes }: { megabytes: number },
): Promise<{ storageClass: string; enlarge: () => Promise<void> }> {
  const name = `small-${w.namespace}`;
  const folder = await mkdtemp(join(tmpdir(), 'ferry-volume-'));
  const mount = promisify(execFile);
  await mount('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=777`, 'tmpfs', folder]);
  onTestFinished(async () => {
    await w.kubectl(['delete', 'pv', name, '--wait=false']);
    // Pods of the namespace still have it open.
    await mount('umount', ['--lazy', folder]);
    await rm(folder, { recursive: true, force: true });
  });
  await w.kubectl(
    ['create', '-f', '-'],
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: {
        capacity: { storage: '64Mi' },
        accessModes: ['ReadWriteOnce'],
        persistentVolumeReclaimPolicy: 'Retain',
        storageClassName: name,
        hostPath: { path: folder },
      },
    }),
  );
  return {
    storageClass: name,
    enlarge: async () => void (await mount('mount', ['-o', 'remount,size=64m', folder])),
  };
}

/** Temporal and a worker for the benches that need the whole product. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { startTemporal } from '../src/setup/servers.js';
import { findTemporal } from '../src/setup/temporal.js';
import type { Place } from './place.js';

/** As it is shipped: the build, not the sources compiled for the bench. */
const WORKER = fileURLToPath(new URL('../../dist/worker.js', import.meta.url));

/** @returns the address of a Temporal server, ours unless TEMPORAL_ADDRESS says another */
export async function temporal(place: Place): Promise<{ address: string; client: Client }> {
  const found = await findTemporal(place.say);
  let address: string;
  if (found.kind === 'server') address = found.address;
  else {
    const running = await startTemporal({ binary: found.path, log: join(place.folder, 'temporal.log') });
    place.finally(() => running.kill9());
    address = running.address;
  }
  const connection = await Connection.connect({ address });
  place.finally(() => connection.close());
  return { address, client: new Client({ connection }) };
}

export function newTaskQueue(): string {
  return `bench-${randomBytes(6).toString('hex')}`;
}

export function startWorker(options: {
  place: Place;
  address: string;
  taskQueue: string;
  env?: NodeJS.ProcessEnv;
}): ChildProcess {
  const { place, address, taskQueue, env } = options;
  const child = spawn(process.execPath, [WORKER], {
    env: {
      ...process.env,
      TEMPORAL_ADDRESS: address,
      FERRY_TASK_QUEUE: taskQueue,
      FERRY_HOME: join(place.folder, 'home'),
      FERRY_LOG: 'ERROR',
      ...env,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  place.finally(end);
  return child;
}

/** When Temporal hands it work: the worker's own word isn't enough. */
export async function untilPolling(options: {
  client: Client;
  taskQueue: string;
  child: ChildProcess;
}): Promise<void> {
  const { client, taskQueue, child } = options;
  const WORKFLOWS = 1;
  for (;;) {
    const { pollers } = await client.workflowService.describeTaskQueue({
      namespace: 'default',
      taskQueue: { name: taskQueue },
      taskQueueType: WORKFLOWS,
    });
    if (pollers.length > 0) return;
    if (child.exitCode !== null) throw new Error(`the worker ended (${child.exitCode})`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** How a worker is set up, the same for `ferry worker`, the tests and the demo. */
import { fileURLToPath } from 'node:url';
import type { DataConverter } from '@temporalio/common';
import type { NativeConnection, WorkerOptions } from '@temporalio/worker';
import { HEARTBEAT_EVERY } from './activities/border.js';
import * as activities from './activities/index.js';
import { TASK_QUEUE } from './contract.js';

export function workerOptions(input: {
  connection: NativeConnection;
  namespace: string;
  taskQueue?: string | undefined;
  dataConverter: DataConverter;
}): WorkerOptions {
  const { dataConverter } = input;
  const bundle = dataConverter.failureConverterPath
    ? './workflow-bundle-encrypted.js'
    : './workflow-bundle.js';
  return {
    connection: input.connection,
    namespace: input.namespace,
    taskQueue: input.taskQueue ?? TASK_QUEUE,
    activities,
    dataConverter,
    workflowBundle: { codePath: fileURLToPath(new URL(bundle, import.meta.url)) },
    // A worker that died keeps its sticky queue for this long: a query after its restart waits no longer (10 s by default).
    stickyQueueScheduleToStartTimeout: '1s',
    // A running activity learns of a rollback with its next heartbeat: none is held back.
    defaultHeartbeatThrottleInterval: HEARTBEAT_EVERY,
    maxHeartbeatThrottleInterval: HEARTBEAT_EVERY,
    // On Ctrl-C a copy hands back its checkpoint.
    shutdownGraceTime: '5s',
    shutdownForceTime: '15s',
  };
}

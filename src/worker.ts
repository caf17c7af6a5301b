/** The worker: runs workflows and activities of the task queue until it is told to stop. */
import { fileURLToPath } from 'node:url';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import {
  NativeConnection,
  Runtime,
  Worker,
  makeTelemetryFilterString,
  DefaultLogger,
} from '@temporalio/worker';
import { PHASE_ATTRIBUTE } from './contract.js';
import { workerOptions } from './worker-options.js';

/** Connects as TEMPORAL_ADDRESS and the other settings of Temporal's environment configuration say, and runs. */
export async function runWorker(options: { taskQueue?: string | undefined } = {}): Promise<void> {
  Runtime.install({
    logger: new DefaultLogger(
      (process.env['FERRY_LOG'] as 'INFO' | undefined) ?? 'WARN',
      ({ level, message, meta }) => {
        const { error, ...rest } = meta ?? {};
        console.error(
          `${new Date().toISOString()} ${level} ${message}${error instanceof Error ? `: ${error.message}` : ''} ${JSON.stringify(rest, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}`,
        );
      },
    ),
    telemetryOptions: { logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'ERROR' }) } },
  });
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  const connection = await NativeConnection.connect(connectionOptions);
  await registerPhase(connection, namespace);
  const taskQueue = options.taskQueue ?? process.env['FERRY_TASK_QUEUE'];
  const worker = await Worker.create(workerOptions({ connection, namespace, taskQueue }));
  console.error(
    `redis-ferry worker ready: ${connectionOptions.address ?? 'localhost:7233'}, namespace ${namespace}, task queue ${worker.options.taskQueue}`,
  );
  try {
    await worker.run();
  } finally {
    await connection.close();
  }
}

/** Registers the search attribute where it may; without it the phase goes to the memo. */
async function registerPhase(connection: NativeConnection, namespace: string): Promise<void> {
  const KEYWORD = 2;
  await connection.operatorService
    .addSearchAttributes({ namespace, searchAttributes: { [PHASE_ATTRIBUTE]: KEYWORD } })
    .catch(() => undefined);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runWorker();

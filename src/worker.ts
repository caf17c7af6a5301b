/** The worker: runs workflows and activities of the task queue until it is told to stop. */
import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import {
  NativeConnection,
  Runtime,
  Worker,
  makeTelemetryFilterString,
  DefaultLogger,
} from '@temporalio/worker';
import { workerDataConverter } from './codec/converter.js';
import { PHASE_ATTRIBUTE } from './contract.js';
import { installRuntime } from './metrics/exporter.js';
import { tellMetrics } from './metrics/tell.js';
import { listenAddress } from './platform/listen.js';

export interface WorkerSettings {
  /** Else FERRY_TASK_QUEUE. */
  taskQueue?: string | undefined;
  /** Where metrics are told, as `127.0.0.1:9464`; else FERRY_METRICS, else nowhere. */
  metrics?: string | undefined;
}

/** Connects as TEMPORAL_ADDRESS and the other settings of Temporal's environment configuration say, and runs. */
export async function runWorker(settings: WorkerSettings = {}): Promise<void> {
  const metrics = addressFor(settings.metrics);
  installRuntime({
    address: metrics,
    options: {
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
    },
  });
  const dataConverter = await workerDataConverter();
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  // Loading the activities takes about as long as connecting.
  const [connection, { workerOptions }] = await Promise.all([
    NativeConnection.connect(connectionOptions),
    import('./worker-options.js'),
  ]);
  const taskQueue = settings.taskQueue ?? process.env['FERRY_TASK_QUEUE'];
  const [worker] = await Promise.all([
    Worker.create(workerOptions({ connection, namespace, taskQueue, dataConverter })),
    registerPhase(connection, namespace),
  ]);
  const ended = new AbortController();
  const telling = metrics
    ? tellMetrics({
        client: new Client({ connection, namespace, dataConverter }),
        meter: Runtime.instance().metricMeter,
        taskQueue: worker.options.taskQueue,
        signal: ended.signal,
      })
    : undefined;
  console.error(
    `redis-ferry worker ready: ${connectionOptions.address ?? 'localhost:7233'}, namespace ${namespace}, task queue ${worker.options.taskQueue}${metrics ? `, metrics at http://${metrics}/metrics` : ''}`,
  );
  let told = false;
  for (const signal of Runtime.instance().options.shutdownSignals) process.once(signal, () => (told = true));
  try {
    await worker.run();
  } catch (error) {
    // What the SDK says of a forced end is about its own insides.
    throw told ? new Error(STOPPED_IN_A_CALL, { cause: error }) : error;
  } finally {
    ended.abort();
    await telling;
    await connection.close();
  }
}

const STOPPED_IN_A_CALL =
  'The worker was stopped in the middle of a call that is never cut off (of helm, kubectl, or a provider). Nothing is lost by it: that call goes on to its end, and the next worker looks first what has been done.';

function addressFor(option: string | undefined): string | null {
  if (option !== undefined) return listenAddress({ text: option, where: '--metrics' }).shown;
  const variable = process.env['FERRY_METRICS'];
  return variable ? listenAddress({ text: variable, where: 'FERRY_METRICS' }).shown : null;
}

/** Registers the search attribute where it may; without it the phase goes to the memo. */
async function registerPhase(connection: NativeConnection, namespace: string): Promise<void> {
  const KEYWORD = 2;
  await connection.operatorService
    .addSearchAttributes({ namespace, searchAttributes: { [PHASE_ATTRIBUTE]: KEYWORD } })
    .catch(() => undefined);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runWorker();

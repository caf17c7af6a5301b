/** A connection to Temporal for one verb, and its troubles in sentences. Heavy: import it lazily. */
import { Client, Connection, type ConnectionOptions, isGrpcServiceError } from '@temporalio/client';
import { NamespaceNotFoundError, WorkflowNotFoundError } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { dataConverter as converterFor } from '../codec/converter.js';
import { KEYS_VARIABLE } from '../codec/keys.js';
import { TASK_QUEUE } from '../contract.js';
import { CliError } from './exit.js';
import type { Io } from './io.js';

/** Options that every verb takes, as commander gives them. */
export interface GlobalOptions {
  address?: string;
  namespace?: string;
  profile?: string;
  taskQueue?: string;
}

export interface Target {
  address: string;
  namespace: string;
  taskQueue: string;
}

export interface Session extends Target {
  client: Client;
  connection: Connection;
}

/** How long Temporal may take to answer at all, in milliseconds. */
const CONNECT_WITHIN = 5_000;

/** What would be connected to: flags first, then TEMPORAL_… variables, then the profile of Temporal's config file. */
export function resolveTarget(
  io: Io,
  options: GlobalOptions,
): Target & { connectionOptions: ConnectionOptions } {
  let config;
  try {
    const variables = Object.entries(io.env).filter(
      (pair): pair is [string, string] => pair[1] !== undefined,
    );
    config = loadClientConnectConfig({
      overrideEnvVars: Object.fromEntries(variables),
      ...(options.profile === undefined ? {} : { profile: options.profile }),
    });
  } catch (error) {
    throw new CliError(
      `Temporal's configuration can't be read: ${error instanceof Error ? error.message : String(error)}`,
      {
        next: ['Correct the file (TEMPORAL_CONFIG_FILE) or the TEMPORAL_… variables.'],
        cause: error,
      },
    );
  }
  const { address: configured, apiKey, tls, metadata } = config.connectionOptions;
  const address = options.address ?? configured ?? 'localhost:7233';
  return {
    address,
    namespace: options.namespace ?? config.namespace ?? 'default',
    taskQueue: options.taskQueue ?? (io.env['FERRY_TASK_QUEUE'] || TASK_QUEUE),
    connectionOptions: {
      address,
      connectTimeout: CONNECT_WITHIN,
      ...(apiKey === undefined ? {} : { apiKey }),
      ...(tls === undefined || tls === null ? {} : { tls }),
      ...(metadata === undefined ? {} : { metadata }),
    },
  };
}

/** Connects, works, and closes. Whatever Temporal answers badly becomes a sentence. */
export async function withSession<T>(
  io: Io,
  options: GlobalOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { connectionOptions, ...target } = resolveTarget(io, options);
  const dataConverter = await converterFor(io.env[KEYS_VARIABLE]);
  let connection: Connection;
  try {
    connection = await Connection.connect(connectionOptions);
  } catch (error) {
    throw troubleOf(error, target);
  }
  try {
    const client = new Client({ connection, namespace: target.namespace, dataConverter });
    return await work({ client, connection, ...target });
  } catch (error) {
    throw troubleOf(error, target);
  } finally {
    await connection.close();
  }
}

/** One clear sentence for whatever the SDK throws; what is none of its errors comes back as it is. */
export function troubleOf(error: unknown, { address, namespace }: Target): unknown {
  if (error instanceof CliError) return error;
  if (error instanceof NamespaceNotFoundError) {
    return new CliError(`Temporal at ${address} has no namespace "${namespace}".`, {
      next: [
        'Set TEMPORAL_NAMESPACE or --namespace, or create it: temporal operator namespace create ' +
          namespace,
      ],
      cause: error,
    });
  }
  if (error instanceof WorkflowNotFoundError) {
    return new CliError(
      `There is no upgrade ${error.workflowId} that runs in namespace "${namespace}" at ${address}.`,
      {
        next: ['`ferry list` shows what there is.'],
        cause: error,
      },
    );
  }
  const grpc = grpcErrorOf(error);
  if (!grpc) return error;
  const cause = error;
  switch (grpc.code) {
    case 14: // UNAVAILABLE
    case 1: // CANCELLED
    case 4: // DEADLINE_EXCEEDED
      return new CliError(`Temporal does not answer at ${address}.`, {
        next: [
          'Start one with `npm start`, or set TEMPORAL_ADDRESS to a server that runs. `ferry doctor` looks closer.',
        ],
        cause,
      });
    case 16: // UNAUTHENTICATED
    case 7: // PERMISSION_DENIED
      return new CliError(`Temporal at ${address} does not let you in: ${grpc.details}`, {
        next: [
          'Set TEMPORAL_API_KEY, or TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH, or choose a --profile.',
        ],
        cause,
      });
    default:
      return new CliError(`Temporal at ${address} answers: ${grpc.details || grpc.message}`, { cause });
  }
}

function grpcErrorOf(error: unknown): { code: number; details: string; message: string } | null {
  if (isGrpcServiceError(error)) return error;
  if (!(error instanceof Error)) return null;
  if (error.cause !== undefined) return grpcErrorOf(error.cause);
  // Connecting gives a plain error after its own limit.
  return /failed to connect before the deadline/i.test(error.message)
    ? { code: 14, details: error.message, message: error.message }
    : null;
}

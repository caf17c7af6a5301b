/**
 * A few calls to the API server by a `kubectl proxy` that stands already: some milliseconds each, where a kubectl of its own takes 200.
 * It listens on a socket in a folder that only the worker's user may enter, takes nothing but the named paths, and ends with the worker.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FerryError } from '../errors.js';
import { background } from '../platform/exec.js';
import { inNamespace, KUBECTL, type Namespace } from './kubectl.js';

export interface ApiProxy {
  /** What it replied, parsed. @throws FerryError ProviderUnavailable, ProviderRefused */
  call: (on: { method: 'GET' | 'PATCH'; path: string; body?: unknown }) => Promise<unknown>;
  end: () => void;
}

const BEGINS_WITHIN_MS = 10_000;
const ANSWERS_WITHIN_MS = 3_000;

/** `paths`: regular expressions, each of a whole path. @throws FerryError Unreachable */
export async function apiProxy({
  paths,
  ...where
}: Namespace & { paths: readonly string[] }): Promise<ApiProxy> {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-api-'));
  const socketPath = join(folder, 's');
  const proxy = background({
    label: 'kubectl proxy',
    command: [
      KUBECTL(),
      ...inNamespace(where),
      'proxy',
      `--unix-socket=${socketPath}`,
      `--accept-paths=${paths.map((path) => `^${path}$`).join(',')}`,
    ],
  });
  const end = () => {
    proxy.stop();
    void rm(folder, { recursive: true, force: true });
  };
  try {
    await proxy.said(/Starting to serve/, BEGINS_WITHIN_MS);
  } catch (error) {
    end();
    throw error;
  }
  return { call: (on) => ask({ ...on, socketPath }), end };
}

async function ask(on: {
  socketPath: string;
  method: string;
  path: string;
  body?: unknown;
}): Promise<unknown> {
  const { socketPath, method, path, body } = on;
  const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const asked = request(
      {
        socketPath,
        method,
        path,
        timeout: ANSWERS_WITHIN_MS,
        headers: body === undefined ? {} : { 'content-type': 'application/json-patch+json' },
      },
      (reply) => {
        let all = '';
        reply.setEncoding('utf8');
        reply.on('data', (chunk: string) => (all += chunk));
        reply.on('end', () => resolve({ status: reply.statusCode ?? 0, text: all }));
        reply.on('error', reject);
      },
    );
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')));
    asked.on('error', reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  }).catch((error: unknown) => {
    throw new FerryError(
      'ProviderUnavailable',
      `the API server: ${error instanceof Error ? error.message : 'unknown'}`,
    );
  });
  if (status < 200 || status > 299)
    throw new FerryError(
      status >= 500 || status === 0 ? 'ProviderUnavailable' : 'ProviderRefused',
      `the API server answered ${method} ${path.split('?')[0]} with ${status}`,
    );
  return JSON.parse(text) as unknown;
}

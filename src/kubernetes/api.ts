/**
 * The API of a cluster by `kubectl proxy`, for the moment in which starting kubectl for each question would take too long: writes wait
 * meanwhile. It listens on a socket that only the worker's own user reaches, and ends with the worker at the latest.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';
import { FerryError } from '../errors.js';
import { background } from '../platform/exec.js';
import { jsonOfCli } from '../platform/json-of-cli.js';
import { KUBECTL } from './kubectl.js';

export interface Api {
  /** @throws FerryError ProviderUnavailable where nobody answers, ProviderRefused else */
  get<T>(path: string, schema: z.ZodType<T>): Promise<T>;
  /** A JSON patch. */
  patch(path: string, patch: object): Promise<void>;
  end: () => void;
}

const BEGINS_WITHIN_MS = 15_000;
const ANSWERS_WITHIN_MS = 3_000;

export async function openApi({ context }: { context?: string | undefined }): Promise<Api> {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-api-'));
  const socketPath = join(folder, 'api.sock');
  const proxy = background({
    label: 'kubectl proxy',
    command: [
      KUBECTL(),
      ...(context === undefined ? [] : ['--context', context]),
      'proxy',
      '--unix-socket',
      socketPath,
    ],
  });
  const end = () => {
    proxy.stop();
    void proxy.ended.then(() => rm(folder, { recursive: true, force: true }));
  };
  try {
    await proxy.said(/Starting to serve on/, BEGINS_WITHIN_MS);
  } catch (error) {
    end();
    throw error;
  }
  return {
    end,
    async get(path, schema) {
      const stdout = await ask({ socketPath, path, method: 'GET' });
      return jsonOfCli({ stdout, schema, label: `GET ${path}` });
    },
    async patch(path, patch) {
      await ask({ socketPath, path, method: 'PATCH', body: JSON.stringify(patch) });
    },
  };
}

function ask(on: { socketPath: string; path: string; method: string; body?: string }): Promise<string> {
  const { socketPath, path, method, body } = on;
  return new Promise((resolve, reject) => {
    const gone = (why: string) => reject(new FerryError('ProviderUnavailable', `${method} ${path}: ${why}`));
    const asked = request(
      {
        socketPath,
        path,
        method,
        // The one that the proxy takes.
        headers: { host: 'localhost', 'content-type': 'application/json-patch+json' },
        timeout: ANSWERS_WITHIN_MS,
      },
      (reply) => {
        let text = '';
        reply.setEncoding('utf8');
        reply.on('data', (piece: string) => (text += piece));
        reply.on('error', (error) => gone(error.message));
        reply.on('end', () => {
          const status = reply.statusCode ?? 0;
          if (status >= 200 && status < 300) resolve(text);
          else if (status >= 500 || status === 429) gone(`status ${status}`);
          else reject(new FerryError('ProviderRefused', `${method} ${path}: status ${status}`));
        });
      },
    );
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${ANSWERS_WITHIN_MS} ms`)));
    asked.on('error', (error) => gone(error.message));
    asked.end(body);
  });
}

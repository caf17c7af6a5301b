/* What the tests of the workflow look at, beside the state: both servers as they are, and a webhook that remembers. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { World } from '../support/world.js';

/** What an upgrade that was refused, or rolled back, must leave as it was. */
export interface Standing {
  keys: Record<'source' | 'target', string>;
  settings: Record<'source' | 'target', string>;
  address: string | null;
}

/** Keys of both sides, the settings that a fence or a pause would change, and the address file. */
export async function standing(w: World): Promise<Standing> {
  const of = async (
    side: 'source' | 'target',
    ask: (client: ReturnType<World['redis']>) => Promise<string>,
  ) => {
    const client = w.redis(side);
    try {
      return await ask(client);
    } finally {
      client.disconnect();
    }
  };
  // TTLs run, so only how many keys there are and how many of them expire is compared.
  const keys = async (client: ReturnType<World['redis']>) =>
    (await client.info('keyspace')).replaceAll(/,avg_ttl=\d+(,\S+)?/g, '').trim();
  const settings = async (client: ReturnType<World['redis']>) =>
    JSON.stringify([
      await client.config('GET', 'min-replicas*'),
      await client.config('GET', 'replica-read-only'),
      /role:(\w+)/.exec(await client.info('replication'))?.[1],
    ]);
  return {
    keys: { source: await of('source', keys), target: await of('target', keys) },
    settings: { source: await of('source', settings), target: await of('target', settings) },
    address: await readFile(w.addressFile, 'utf8').catch(() => null),
  };
}

/** Names of our connections on either side: none once an upgrade has ended. */
export async function ferryConnections(w: World): Promise<string[]> {
  const names: string[] = [];
  for (const side of ['source', 'target'] as const) {
    const client = w.redis(side);
    const list = String(await client.call('CLIENT', 'LIST'));
    names.push(...list.split('\n').flatMap((line) => / name=(ferry:\S*)/.exec(line)?.[1] ?? []));
    client.disconnect();
  }
  return names;
}

/** Locks that are held on the servers of this world. */
export async function locks(w: World): Promise<string[]> {
  const held: string[] = [];
  for (const port of [w.source.port, w.target.port]) {
    const workflowId = `lock/redis/127.0.0.1:${port}`;
    const known = await w.client.workflow
      .getHandle(workflowId)
      .describe()
      .catch(() => null);
    if (known?.status.name === 'RUNNING') held.push(workflowId);
  }
  return held;
}

/** Waits until it holds: what Temporal shows may lag behind what is. */
export async function soon(holds: () => Promise<boolean>, ms = 5_000): Promise<void> {
  for (const limit = Date.now() + ms; !(await holds());) {
    if (Date.now() > limit) throw new Error(`not within ${ms} ms: ${holds.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export interface Hook {
  url: string;
  /** Bodies in the order they came. */
  heard: { path: string; body: Record<string, unknown> }[];
  /** Status that a path answers with from now on; 200 otherwise, and no answer at all for 0. */
  answers: Map<string, number>;
  close(): Promise<void>;
}

/** A local HTTP server that remembers what it is told. */
export async function hook(): Promise<Hook> {
  const heard: Hook['heard'] = [];
  const answers: Hook['answers'] = new Map();
  const server: Server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => {
      const path = request.url ?? '';
      heard.push({ path, body: text ? (JSON.parse(text) as Record<string, unknown>) : {} });
      const status = answers.get(path) ?? 200;
      if (status > 0) response.writeHead(status).end(status === 200 ? 'ok' : 'no');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard,
    answers,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Seeds strings with and without expiry. */
export async function seed(
  w: World,
  side: 'source' | 'target',
  count: number,
  db = 0,
  prefix = 'seed',
): Promise<void> {
  const client = w.redis(side, db);
  const pipeline = client.pipeline();
  for (let n = 0; n < count; n += 1)
    pipeline.set(`${prefix}:${n}`, `v${n}`, ...((n % 2 ? ['PX', 600_000 + n] : []) as []));
  await pipeline.exec();
  client.disconnect();
}

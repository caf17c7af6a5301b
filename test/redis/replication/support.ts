/* Two real servers, the second following the first, and applications that write where a file says. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import { FerryError } from '../../../src/errors.js';
import {
  admit,
  follow,
  followBefore,
  linkUp,
  replicationUser,
} from '../../../src/redis/replication/follow.js';
import {
  handOver,
  type HandoverOptions,
  type HandoverSide,
} from '../../../src/redis/replication/handover.js';
import { serve, type TestServer } from '../servers.js';

export const USER = replicationUser('test');

export interface Couple {
  one: TestServer;
  two: TestServer;
  /** Who takes the writes now, and who follows. Exchanged by `exchange`. */
  sides: { from: HandoverSide; to: HandoverSide };
  exchange: () => void;
  portFile: string;
  toldFile: string;
  /** Holds the name of the attempt that Temporal waits for. */
  currentFile: string;
  options: () => HandoverOptions;
}

export async function sideOf(server: TestServer): Promise<HandoverSide> {
  const client = server.client();
  return {
    address: { host: '127.0.0.1', port: server.port },
    at: { host: '127.0.0.1', port: server.port },
    follow: await followBefore({ client }),
  };
}

export async function couple(names: readonly [string, string], args: string[] = []): Promise<Couple> {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-couple-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const [one, two] = [await serve({ name: names[0], args }), await serve({ name: names[1], args })];
  const sides = { from: await sideOf(one), to: await sideOf(two) };
  const [old, next] = [one.client(), two.client()];
  await old.mset(Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`key:${i}`, 'x'.repeat(100)])));
  await admit({
    primary: old,
    follower: next,
    address: sides.from.address,
    before: sides.to.follow,
    user: USER,
  });
  await follow({ client: next, at: sides.from.at });
  await linkUp({ client: next, stalledMs: 10_000, signal: new AbortController().signal });
  const [portFile, toldFile, currentFile] = ['port', 'told', 'current'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(portFile, String(one.port));
  return {
    one,
    two,
    sides,
    exchange() {
      Object.assign(sides, { from: sides.to, to: sides.from });
    },
    portFile,
    toldFile,
    currentFile,
    options: () => ({
      ...sides,
      capMs: 500,
      tries: 3,
      name: 'ferry:test:1.1',
      user: USER,
      signal: new AbortController().signal,
      stillCurrent: (standing) => writeFile(toldFile, standing),
      promotedBefore: false,
      repoint: () => writeFile(portFile, String(sides.to.at.port)),
      repointBack: () => writeFile(portFile, String(sides.from.at.port)),
    }),
  };
}

/**
 * A later attempt, on any worker: finishes what there is to finish. Where it can't yet, it is tried again, as Temporal would: somebody
 * was served in front of a fence of 6.0, say, which is lifted then, and the link has to come up anew.
 */
export async function again(pair: Couple, attempt: number) {
  const name = `ferry:test:1.${attempt}`;
  await writeFile(pair.currentFile, name);
  for (let left = 50; ; left -= 1) {
    const told = await readFile(pair.toldFile, 'utf8').catch(() => '');
    try {
      return await handOver({ ...pair.options(), name, promotedBefore: told === 'promoted' });
    } catch (error) {
      if (left === 0 || !(error instanceof FerryError && error.retryable)) throw error;
      await sleep(200);
    }
  }
}

export interface Writer {
  end(): Promise<{ acknowledged: number; errors: string[]; longest: number }>;
  /** Of the list that it appends to. */
  key: string;
}

/** An application that appends numbers to a list, and counts those that were acknowledged. */
export function writer(pair: Pick<Couple, 'portFile'>, key: string): Writer {
  let known = 0;
  // A test that failed has removed the file already.
  const port = (): number =>
    (known = existsSync(pair.portFile) ? Number(readFileSync(pair.portFile, 'utf8')) : known);
  const errors: string[] = [];
  let acknowledged = 0;
  let longest = 0;
  let stop = false;
  const client = new Redis({
    host: '127.0.0.1',
    port: port(),
    retryStrategy: () => 2,
    maxRetriesPerRequest: null,
    disableClientInfo: true,
    protocol: 2,
  });
  client.on('error', () => {});
  client.on('close', () => {
    client.options.port = port();
  });
  const done = (async () => {
    while (!stop) {
      const began = performance.now();
      try {
        await client.rpush(key, acknowledged);
        acknowledged += 1;
      } catch (error) {
        errors.push(String(error));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      longest = Math.max(longest, performance.now() - began);
    }
    client.disconnect();
  })();
  return {
    key,
    async end() {
      stop = true;
      await done;
      return { acknowledged, errors, longest };
    },
  };
}

/** Numbers that were acknowledged and are not in the list; and how many are there more than once, or were not acknowledged. */
export async function losses(on: { server: TestServer; key: string; acknowledged: number }) {
  const present = (await on.server.client().lrange(on.key, 0, -1)).map(Number);
  const there = new Set(present);
  let missing = 0;
  for (let n = 0; n < on.acknowledged; n += 1) if (!there.has(n)) missing += 1;
  return { missing, twice: present.length - there.size };
}

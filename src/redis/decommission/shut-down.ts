/** Ends a server for good: it saves what it holds first, and afterwards nobody answers there any more. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { FerryError } from '../../errors.js';
import { shown, type ServerAddress } from '../address.js';
import { failureOn, messageOf, withClient } from '../connect.js';
import { parseInfo } from '../info.js';
import { settingsNamed } from '../settings.js';

export interface ShutDownResult {
  seconds: number;
  /** Paths on its own machine where its data stays; empty where it may not be asked. */
  stays: string[];
  /** It answers again: somebody started it anew. */
  backAgain: boolean;
}

const LOOK_EVERY_MS = 100;
/** How long a supervisor is given to show itself. */
const WATCH_MS = 5_000;

/**
 * SHUTDOWN SAVE, whatever its save points are: what it held is in its file. Harmless when nobody answers there already.
 * `runId`: of the process that may be ended; one that was started since is left alone, as somebody wants it.
 */
export async function shutDown(on: {
  address: ServerAddress;
  name: string;
  runId: string;
  signal: AbortSignal;
  /** Looks once more before it is told; throws to leave it running. */
  confirm: (client: Redis) => Promise<void>;
}): Promise<ShutDownResult> {
  const { address, name, runId, signal, confirm } = on;
  const began = performance.now();
  const seconds = (): number => Math.round((performance.now() - began) / 100) / 10;
  const first = await standing({ address, name, signal });
  if (first === 'gone') return { seconds: seconds(), stays: [], backAgain: false };
  if (first !== runId) return { seconds: seconds(), stays: [], backAgain: true };
  const stays = await withClient({ address, name, signal }, async (client) => {
    await confirm(client);
    const files = await filesOf(client);
    try {
      // Answers only when it can't; a large data set takes its time to be saved.
      await client.call('SHUTDOWN', 'SAVE');
    } catch (error) {
      const message = messageOf(error);
      if (/NOPERM|unknown command/i.test(message)) throw failureOn(client, error);
      if (/^ERR|^MISCONF|Errors trying/i.test(message))
        throw new FerryError(
          'Unclear',
          `${shown(address)} could not save and therefore goes on running: its own log says why`,
        );
    }
    return files;
  });
  for (;;) {
    const now = await standing({ address, name, signal });
    if (now === 'gone') break;
    if (now !== runId && now !== 'busy') return { seconds: seconds(), stays, backAgain: true };
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
  const ended = seconds();
  for (const until = performance.now() + WATCH_MS; performance.now() < until;) {
    await sleep(LOOK_EVERY_MS, undefined, { signal });
    if ((await standing({ address, name, signal })) !== 'gone')
      return { seconds: ended, stays, backAgain: true };
  }
  return { seconds: ended, stays, backAgain: false };
}

/** The run_id of who answers; "busy" where somebody is there who doesn't say, as while it saves or loads. */
export async function standing(on: {
  address: ServerAddress;
  name: string;
  signal: AbortSignal;
}): Promise<string> {
  try {
    return await withClient(
      { ...on, commandTimeoutMs: 2_000, connectTimeoutMs: 2_000 },
      async (client) => parseInfo(String(await client.call('INFO', 'server')))['run_id'] ?? '',
    );
  } catch (error) {
    on.signal.throwIfAborted();
    if (/refused the connection/.test(messageOf(error))) return 'gone';
    if (error instanceof FerryError && (error.type === 'Loading' || error.type === 'Unreachable'))
      return 'busy';
    throw error;
  }
}

async function filesOf(client: Redis): Promise<string[]> {
  const names = ['dir', 'dbfilename', 'appendonly', 'appenddirname', 'appendfilename'];
  const of: Record<string, string> = await settingsNamed({ client, names }).catch(() => ({}));
  if (of['dir'] === undefined) return [];
  const at = (...parts: (string | undefined)[]): string => [of['dir'], ...parts].join('/');
  return [
    at(of['dbfilename']),
    ...(of['appendonly'] === 'yes'
      ? [of['appenddirname'] === undefined ? at(of['appendfilename']) : at(of['appenddirname'])]
      : []),
  ];
}

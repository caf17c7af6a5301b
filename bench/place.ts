/** Where a bench works: a temporary folder, servers on free ports of 127.0.0.1, all gone afterwards, on Ctrl-C too. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findRedisPair, type FoundRedis } from '../src/setup/redis.js';
import { startRedis, type RunningRedis } from '../src/setup/servers.js';

export interface Place {
  folder: string;
  /** What the servers are: Redis 7.0 → 8.0 where they can be had. */
  from: FoundRedis;
  to: FoundRedis;
  /** Keys of the standard data set. */
  keys: number;
  rounds: number;
  say: (line: string) => void;
  /** An empty server that is ended by `stop`, or with the bench. */
  start: (which: 'from' | 'to', args?: readonly string[]) => Promise<RunningRedis>;
  /** Run when the bench is over, the last one first. */
  finally: (undo: () => void | Promise<void>) => void;
}

export async function inPlace<T>(
  options: { keys: number; rounds: number; say: (line: string) => void },
  work: (place: Place) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'ferry-bench-'));
  const forget = (): void => rmSync(folder, { recursive: true, force: true });
  process.on('exit', forget);
  const undos: (() => void | Promise<void>)[] = [];
  let servers = 0;
  try {
    const { from, to } = await findRedisPair(options.say);
    return await work({
      ...options,
      folder,
      from,
      to,
      async start(which, args = []) {
        const { server, version } = which === 'from' ? from : to;
        servers += 1;
        const running = await startRedis({
          binary: server,
          dir: join(folder, `server-${servers}`),
          args: [...(parseInt(version, 10) >= 7 ? ['--enable-debug-command', 'local'] : []), ...args],
        });
        undos.push(() => running.kill9());
        return running;
      },
      finally: (undo) => void undos.push(undo),
    });
  } finally {
    for (const undo of undos.reverse()) await undo();
    forget();
    process.off('exit', forget);
  }
}

/** Puts the file of `takeKeys` into a server, as `redis-cli --pipe` does. */
import { createReadStream } from 'node:fs';
import { FerryError } from '../../errors.js';
import type { ServerAddress } from '../address.js';
import { openConnection, ReplyError, type Command } from '../resp.js';
import { createParser } from '../resp-parser.js';

/** @throws FerryError BackupFailed with the first refusal of the server, Unreachable; the signal's reason when aborted */
export async function putKeys(on: {
  address: ServerAddress;
  path: string;
  signal?: AbortSignal | undefined;
}): Promise<void> {
  const { address, path, signal } = on;
  const commands: Command[] = [];
  // Commands are written as arrays of strings are replied.
  const parse = createParser({
    onReply: (command) => commands.push(command as Command),
    onPush: () => undefined,
  });
  const connection = await openConnection({ address, name: 'ferry:backup', idleTimeout: 60_000, signal });
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
      parse(chunk as Buffer);
      const replies = await connection.pipeline(commands.splice(0));
      const refusal = replies.find((reply) => reply instanceof ReplyError);
      if (refusal) throw new FerryError('BackupFailed', refusal.message);
    }
  } finally {
    connection.close();
  }
}

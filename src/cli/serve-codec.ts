/** Runs the codec server until Ctrl-C. Heavy: import it lazily. */
import { once } from 'node:events';
import { encryption } from '../codec/codec.js';
import { KEYS_VARIABLE, openKeyRing } from '../codec/keys.js';
import { codecServer } from '../codec/server.js';
import { FerryError } from '../errors.js';
import { listenAddress } from '../platform/listen.js';
import { resolveSecret } from '../platform/secrets.js';
import type { Io } from './io.js';

/** @throws FerryError when it is asked for something that can't be, or the port is taken */
export async function serveCodec(
  io: Io,
  options: { listen: string; origins: string[]; reference?: string | undefined },
): Promise<void> {
  const { host, port, shown, local } = listenAddress({ text: options.listen, where: '--listen' });
  const origins = options.origins.map(originOf);
  const { reference } = options;
  if (!local && reference === undefined)
    throw new FerryError(
      'InvalidInput',
      `--listen: whoever reaches ${shown} could read everything. Give a --token, or listen on 127.0.0.1`,
    );
  const keys = io.env[KEYS_VARIABLE];
  if (!keys)
    throw new FerryError('MissingSecret', `${KEYS_VARIABLE} is not set, so there is nothing to decrypt with`);
  const token = reference === undefined ? null : await tokenOf(reference);
  const server = codecServer({ codec: encryption(await openKeyRing(keys, io.warn)), origins, token });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new FerryError(
      'InvalidInput',
      `--listen: ${shown} can't be listened on (${error instanceof Error ? error.message : String(error)})`,
    );
  }
  io.warn(
    `Codec server ready: http://${shown}${origins.length > 0 ? `, for ${origins.join(', ')}` : ', for `temporal` alone: name the UI with --origin'}`,
  );
  const interrupted = io.interrupted();
  if (!interrupted.aborted) await once(interrupted, 'abort');
  server.close();
  server.closeAllConnections();
}

/** As browsers send it: without a path. */
function originOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !/^https?:$/.test(url.protocol))
    throw new FerryError('InvalidInput', `--origin: "${text}" must look like http://localhost:8233`);
  return url.origin;
}

async function tokenOf(reference: string): Promise<string> {
  const name = /^env:(.+)$/.exec(reference)?.[1];
  return resolveSecret({ ref: name === undefined ? { file: reference } : { env: name }, where: '--token' });
}

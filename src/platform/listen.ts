/** Where something listens. */
import { isIP } from 'node:net';
import { FerryError } from '../errors.js';

export interface ListenAddress {
  /** An IP address. */
  host: string;
  port: number;
  /** Both, as `127.0.0.1:9464` or `[::1]:9464`. */
  shown: string;
  /** Whether only this machine reaches it. */
  local: boolean;
}

/**
 * Of `127.0.0.1:9464`, `[::1]:9464` or `localhost:9464`.
 *
 * @throws FerryError InvalidInput; `where` is the option or variable that it came from
 */
export function listenAddress({ text, where }: { text: string; where: string }): ListenAddress {
  const [, inBrackets, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text.trim()) ?? [];
  const host = inBrackets ?? (plain === 'localhost' ? '127.0.0.1' : plain) ?? '';
  const port = Number(digits);
  // Brackets are for IPv6 alone, which can't do without them.
  if (isIP(host) !== (inBrackets === undefined ? 4 : 6) || port < 1 || port > 65_535)
    throw new FerryError(
      'InvalidInput',
      `${where}: "${text}" is not an IP address and a port. It must look like 127.0.0.1:9464, [::1]:9464, or 0.0.0.0:9464 for all interfaces`,
    );
  return {
    host,
    port,
    shown: inBrackets === undefined ? `${host}:${port}` : `[${host}]:${port}`,
    local: host === '::1' || host.startsWith('127.'),
  };
}

/** Where a worker tells its metrics. */
import { isIP } from 'node:net';
import { FerryError } from '../errors.js';

/**
 * `127.0.0.1:9464`, `[::1]:9464` or `localhost:9464`, as the exporter wants it: an IP address and a port.
 *
 * @throws FerryError InvalidInput; `where` is the option or variable that it came from
 */
export function metricsAddress({ text, where }: { text: string; where: string }): string {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text.trim());
  const host = match?.[1] ?? (match?.[2] === 'localhost' ? '127.0.0.1' : match?.[2]);
  const port = Number(match?.[3]);
  const family = isIP(host ?? '');
  // Brackets are for IPv6 alone, which can't do without them.
  if (family === 0 || (family === 6) !== (match?.[1] !== undefined) || port < 1 || port > 65_535)
    throw new FerryError(
      'InvalidInput',
      `${where}: "${text}" is not an IP address and a port. It must look like 127.0.0.1:9464, [::1]:9464, or 0.0.0.0:9464 for all interfaces`,
    );
  return family === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

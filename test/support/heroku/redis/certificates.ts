/* One self-signed certificate for all servers, and an unrelated one, which is all that a fork trusts. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Certificates {
  cert: string;
  key: string;
  /** Files for `tls-ca-cert-file`. */
  trustsServers: string;
  trustsNone: string;
}

/** @throws when there is no `openssl` program */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const file = (name: string): string => join(folder, name);
  await Promise.all(['server', 'stranger'].map((name) => selfSigned(file(name))));
  return {
    cert: file('server.crt'),
    key: file('server.key'),
    trustsServers: file('server.crt'),
    trustsNone: file('stranger.crt'),
  };
}

async function selfSigned(path: string): Promise<void> {
  const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1';
  await promisify(execFile)('openssl', [
    ...words.split(' '),
    '-keyout',
    `${path}.key`,
    '-out',
    `${path}.crt`,
  ]);
}

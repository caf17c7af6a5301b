/** The commands that a person types when Redis Ferry can't help. */
import { quoted, secretInShell } from '../inputs/in-shell.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import type { ServerAddress } from './address.js';

/**
 * The shell words before a Redis command: run redis-cli (6.0 or later) against a server, with the password taken out of the
 * reference as it runs. It stands neither in the card nor in `ps`. Not `redis-cli -u`, which puts it there, and which in 7.0
 * logs in as "" when the URL names no user.
 */
export function breakGlassPrefix({
  address,
  endpoint,
}: {
  address: ServerAddress;
  endpoint: RedisEndpoint;
}): string {
  const { host, port, username, password, tls } = address;
  const ca = typeof endpoint === 'string' ? undefined : endpoint.tls?.ca;
  const words = [
    ...(password === undefined ? [] : [`REDISCLI_AUTH="$(${passwordFrom({ endpoint, password })})"`]),
    'redis-cli',
    '-h',
    quoted(host),
    '-p',
    String(port),
    ...(username ? ['--user', quoted(username)] : []),
    ...(tls ? ['--tls'] : []),
    ...(ca === undefined ? [] : ['--cacert', quoted(ca)]),
    ...(tls?.serverName === undefined ? [] : ['--sni', quoted(tls.serverName)]),
    ...(tls?.insecure ? ['--insecure'] : []),
  ];
  return words.join(' ');
}

/** What stands in a shell for the URL that a reference points at. */
export function urlInShell(endpoint: RedisEndpoint): string {
  if (typeof endpoint === 'string') return quoted(endpoint);
  return 'url' in endpoint ? quoted(endpoint.url) : secretInShell(endpoint);
}

const DECODE = String.raw`LC_ALL=C awk 'BEGIN{for(i=1;i<256;i++)c[sprintf("%02X",i)]=sprintf("%c",i)}{o="";while(match($0,/%[0-9A-Fa-f][0-9A-Fa-f]/)){o=o substr($0,1,RSTART-1) c[toupper(substr($0,RSTART+1,2))];$0=substr($0,RSTART+3)}printf "%s",o $0}'`;

function passwordFrom({ endpoint, password }: { endpoint: RedisEndpoint; password: string }): string {
  const cut = `printf '%s\\n' ${urlInShell(endpoint)} | sed 's|^[^:]*://[^:]*:||; s|@[^@]*$||'`;
  // Only such a password needs no percent-encoding in a URL; a shorter card is easier to trust at night.
  return /^[\w.~-]+$/.test(password) ? cut : `${cut} | ${DECODE}`;
}

/** The commands that a person types when Redis Ferry can't help. */
import { contextInShell, passwordInShell, quoted, secretInShell } from '../inputs/in-shell.js';
import type { KubernetesPod, RedisEndpoint } from '../inputs/refs.js';
import { inside, type ServerAddress } from './address.js';

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
  const { username, password, tls } = address;
  const { host, port } = inside(address);
  const ca = typeof endpoint === 'string' ? undefined : endpoint.tls?.ca;
  if (typeof endpoint !== 'string' && 'kubernetesPod' in endpoint)
    return podPrefix({ pod: endpoint.kubernetesPod, tls: tls !== undefined });
  const words = [
    ...(password === undefined
      ? []
      : [`REDISCLI_AUTH="$(${passwordInShell({ url: urlInShell(endpoint), password })})"`]),
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

/** redis-cli in the pod itself. The password goes there by stdin, and stands in no argv. */
function podPrefix({ pod: at, tls }: { pod: KubernetesPod; tls: boolean }): string {
  const { namespace, pod, container, port, username, password, context } = at;
  const kubectl = ['kubectl', ...contextInShell(context), '-n', namespace, 'exec'];
  const into = [pod, ...(container === undefined ? [] : ['-c', container]), '--'];
  const cli = [
    '-p',
    String(port),
    ...(username ? ['--user', quoted(username)] : []),
    ...(tls ? ['--tls', '--insecure'] : []),
  ];
  if (password === undefined) return [...kubectl, ...into, 'redis-cli', ...cli].join(' ');
  return [
    `printf '%s' ${secretInShell(password)} |`,
    ...kubectl,
    '-i',
    ...into,
    `sh -c 'REDISCLI_AUTH="$(cat)" exec redis-cli "$@"' sh`,
    ...cli,
  ].join(' ');
}

/** What stands in a shell for the URL that a reference points at. */
export function urlInShell(endpoint: RedisEndpoint): string {
  if (typeof endpoint === 'string') return quoted(endpoint);
  if ('kubernetesPod' in endpoint) return podUrl(endpoint.kubernetesPod, endpoint.tls !== undefined);
  return 'url' in endpoint ? quoted(endpoint.url) : secretInShell(endpoint);
}

function podUrl({ namespace, pod, port, username, password, context }: KubernetesPod, tls: boolean): string {
  const kubectl = ['kubectl', ...contextInShell(context), '-n', namespace, 'get', 'pod', pod].join(' ');
  const login = password === undefined ? '' : `${username ?? ''}:${unquoted(secretInShell(password))}@`;
  return `"${tls ? 'rediss' : 'redis'}://${login}$(${kubectl} -o jsonpath={.status.podIP}):${port}"`;
}

/** To stand in quotes of somebody else. */
function unquoted(words: string): string {
  return words.replace(/^"(.*)"$/, '$1');
}

/** What every way of repointing is given. */
import type { Repoint } from '../inputs/repoint.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { inside, type DatabaseMap, type ServerAddress } from '../redis/address.js';

export type Direction = 'forward' | 'back';

/** One side of the move, as the application reaches it. */
export interface Serving {
  address: ServerAddress;
  /** Of Redis its number, of PostgreSQL its name. */
  database: number | string;
  /** The whole URL, where it is not that of a Redis. Secret. */
  url?: string | undefined;
}

export interface RepointInput<Spec = Repoint> {
  spec: Spec;
  direction: Direction;
  /** Name of the upgrade. */
  name: string;
  /** The side that serves once this is done: the target forward, the source back. */
  serving: Serving;
  /** The side that served until now, where whoever is told has to be sure that nobody else took over meanwhile. */
  leaving?: ServerAddress | undefined;
  signal?: AbortSignal | undefined;
}

export interface ByHandInput<Spec = Repoint> extends Omit<
  RepointInput<Spec>,
  'serving' | 'leaving' | 'signal'
> {
  serving: { address: Pick<ServerAddress, 'host' | 'port' | 'tls' | 'place'>; database: number | string };
  /** Where the serving side's URL is kept. */
  endpoint: RedisEndpoint;
}

export type SpecOf<Kind extends Repoint['kind']> = Extract<Repoint, { kind: Kind }>;

/** The whole URL, password included: for files of mode 0600 and for environments, never for a message. */
export function urlOf({ address, database, url }: Serving): string {
  if (url !== undefined) return url;
  const { username, password, tls } = address;
  const at = inside(address);
  const host = at.host.includes(':') ? `[${at.host}]` : at.host;
  const login = password === undefined ? '' : `${encode(username ?? '')}:${encode(password)}@`;
  return `${tls ? 'rediss' : 'redis'}://${login}${host}:${at.port}/${database}`;
}

/** For a pipe of sh: the URL of the reference with the database that is served. One that names it already stays as it is. */
export function addressedInShell(database: number | string): string {
  return typeof database === 'string' ? 'cat' : `sed -E 's|^([a-z]+://[^/?]*).*|\\1/${database}|'`;
}

// encodeURIComponent leaves these, and shells and URL parsers disagree about some of them.
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** The database that an application uses which knows one: where 0 went, or the only one. */
export function servedDatabase({ map, direction }: { map: DatabaseMap; direction: Direction }): number {
  const pair = map.find(([from]) => from === 0) ?? map[0] ?? ([0, 0] as const);
  return direction === 'forward' ? pair[1] : pair[0];
}

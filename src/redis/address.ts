/** Where a server is and how to log in: what a reference resolves to on the worker. Never leaves the worker. */
export interface ServerAddress {
  host: string;
  port: number;
  username?: string;
  password?: string;
  /** Present for rediss://. `ca` is PEM text. */
  tls?: { ca?: string; serverName?: string; insecure?: boolean };
  /** Where host and port lead there from this worker only, and only for now: what it is, and where its own network finds it. */
  place?: { name: string; inside: { host: string; port: number } };
}

/** `host:port`, or the name of its place: the only form of an address that may be shown. */
export function shown(address: Pick<ServerAddress, 'host' | 'port' | 'place'>): string {
  if (address.place) return address.place.name;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Parses redis:// and rediss:// URLs; the database in the path is ignored (databases are mapped in the input). */
export function parseRedisUrl(url: string, tls?: ServerAddress['tls']): ServerAddress {
  const parsed = new URL(url);
  if (parsed.protocol !== 'redis:' && parsed.protocol !== 'rediss:')
    throw new Error('must begin with redis:// or rediss://');
  const secure = parsed.protocol === 'rediss:';
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1',
    port: parsed.port ? Number(parsed.port) : 6379,
    ...(parsed.username ? { username: decodeURIComponent(parsed.username) } : {}),
    ...(parsed.password ? { password: decodeURIComponent(parsed.password) } : {}),
    ...(secure ? { tls: tls ?? {} } : {}),
  };
}

/** Which source database goes to which target database. */
export type DatabaseMap = ReadonlyArray<readonly [source: number, target: number]>;

/** Where others than this worker find it. */
export function inside({ host, port, place }: Pick<ServerAddress, 'host' | 'port' | 'place'>): {
  host: string;
  port: number;
} {
  return place?.inside ?? { host, port };
}

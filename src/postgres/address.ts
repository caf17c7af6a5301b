/** Where a database is and how to log in: what a reference resolves to on the worker. Never leaves the worker. */

const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof SSL_MODES)[number];

export interface DatabaseAddress {
  host: string;
  port: number;
  database: string;
  user: string;
  password?: string;
  /** As libpq has it: "prefer" where the URL names none. */
  sslmode: SslMode;
  /** Absolute path of a CA certificate on the worker. */
  sslrootcert?: string;
  /** As it was given, for whoever is told of it: applications have settings of their own in it. */
  url: string;
}

/** `host:port/database`: the only form of an address that may be shown. */
export function shown({ host, port, database }: Pick<DatabaseAddress, 'host' | 'port' | 'database'>): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}/${database}`;
}

/** Parses postgres:// and postgresql:// URLs. What else stands in the query is the application's. @throws Error without the URL */
export function parsePostgresUrl(url: string): DatabaseAddress {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (!parsed || !['postgres:', 'postgresql:'].includes(parsed.protocol))
    throw new Error('must look like postgres://user:password@host:5432/database');
  const user = decodeURIComponent(parsed.username);
  if (user === '') throw new Error('must name the user');
  if (parsed.hostname === '') throw new Error('must name the host');
  const sslmode = parsed.searchParams.get('sslmode') ?? 'prefer';
  const known = SSL_MODES.find((mode) => mode === sslmode);
  if (known === undefined) throw new Error(`must have an sslmode of ${SSL_MODES.join(', ')}`);
  const root = parsed.searchParams.get('sslrootcert');
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: parsed.port ? Number(parsed.port) : 5432,
    database: decodeURIComponent(parsed.pathname.slice(1)) || user,
    user,
    ...(parsed.password ? { password: decodeURIComponent(parsed.password) } : {}),
    sslmode: known,
    ...(root ? { sslrootcert: root } : {}),
    url,
  };
}

/** What PostgreSQL's own programs log in by. Secret. */
export function environmentFor(address: DatabaseAddress, name: string): Record<string, string> {
  const { host, port, database, user, password, sslmode, sslrootcert } = address;
  return {
    PGHOST: host,
    PGPORT: String(port),
    PGDATABASE: database,
    PGUSER: user,
    ...(password === undefined ? {} : { PGPASSWORD: password }),
    PGSSLMODE: sslmode,
    ...(sslrootcert === undefined ? {} : { PGSSLROOTCERT: sslrootcert }),
    PGAPPNAME: name,
    PGCONNECT_TIMEOUT: '15',
  };
}

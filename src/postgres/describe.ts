/** What a database is, as the plan, the checklist and the workflow need it: counts, names and settings; never a value. */
import { FIRST_OWN, NOT_OF_HEROKU, OWN_EXTENSIONS, OWN_SCHEMAS, notOfExtension } from './catalogs.js';
import { shown } from './address.js';
import { withSession, type At, type Session } from './connect.js';
import { heldBy, type Held } from './empty.js';
import { readMark, type Mark } from './mark.js';
import { connectedTo, readOnlySetting, rolesThatWrite, type ReadOnlySetting } from './writes.js';

export interface DatabaseFacts {
  /** `host:port/database` */
  shown: string;
  host: string;
  port: number;
  database: string;
  /** The same for every database of a server, and different on every server. */
  systemId: string;
  version: string;
  major: number;
  user: string;
  can: {
    /** Everything. */
    superuser: boolean;
    /** Change the database itself: close it to writes. */
    own: boolean;
    /** Make schemas in it. */
    create: boolean;
    /** Make other databases; not known of an upgrade that an older version began. */
    databases?: boolean;
    /** See the sessions of others. */
    see: boolean;
  };
  inRecovery: boolean;
  encoding: string;
  collation: string;
  /** Bytes: all of it, and what of it are rows. */
  size: { all: number; rows: number };
  counts: { schemas: number; tables: number; sequences: number; largeObjects: number };
  held: Held;
  /** Roles that own something in it that this user is no member of. */
  foreignOwners: string[];
  extensions: { name: string; version: string; own: boolean }[];
  /** Versions of extensions that can be made there, by name. */
  available: Record<string, string[]>;
  readOnly: ReadOnlySetting;
  /** Roles for which that setting does not count. */
  rolesThatWrite: string[];
  sessions: { sessions: number; names: string[] };
  preparedTransactions: number;
  /** Locks that one transaction may take before others lack them. */
  locks: number;
  notDumped: NotDumped;
  /** Event triggers of its own, at most 20; not known of an upgrade that an older version began. */
  eventTriggers?: string[];
  mark: Mark | null;
}

/** What pg_dump leaves behind. Names. */
export interface NotDumped {
  publications: string[];
  subscriptions: string[];
  slots: string[];
  databaseSettings: string[];
  roleSettings: string[];
  invalidIndexes: string[];
  foreignTables: string[];
  unlogged: string[];
  tablespaces: string[];
}

/** At most so many of each are named. */
const NAMED = 20;

/** @throws FerryError; the signal's reason when aborted */
export async function describeDatabase(at: At, own: string): Promise<DatabaseFacts> {
  return withSession(at, async (session) => {
    const server = await serverOf(session);
    const { sizes, counts } = await sizesOf(session);
    const { host, port } = at.address;
    return {
      shown: shown(at.address),
      host,
      port,
      ...server,
      size: sizes,
      counts,
      held: await heldBy(session),
      foreignOwners: await foreignOwners(session),
      extensions: await session.ask<{ name: string; version: string; own: boolean }>(
        `SELECT x.extname AS name, x.extversion AS version, (${OWN_EXTENSIONS}) AS own FROM pg_extension x ORDER BY 1`,
      ),
      available: await availableAt(session),
      readOnly: await readOnlySetting(session),
      rolesThatWrite: await rolesThatWrite(session),
      sessions: await connectedTo(session, own),
      notDumped: await notDumped(session),
      eventTriggers: await eventTriggers(session),
      mark: await readMark(session),
    };
  });
}

type Server = Pick<
  DatabaseFacts,
  | 'database'
  | 'systemId'
  | 'version'
  | 'major'
  | 'user'
  | 'can'
  | 'inRecovery'
  | 'encoding'
  | 'collation'
  | 'preparedTransactions'
  | 'locks'
>;

async function serverOf(session: Session): Promise<Server> {
  const [row] = await session.ask<{
    database: string;
    number: string;
    version: string;
    user: string;
    superuser: boolean;
    own: boolean;
    create: boolean;
    databases: boolean;
    see: boolean;
    recovery: boolean;
    encoding: string;
    collation: string;
    prepared: string;
    locks: string;
  }>(
    `SELECT current_database()::text AS database, current_setting('server_version_num') AS number, current_setting('server_version') AS version,
       current_user::text AS user, r.rolsuper AS superuser, pg_has_role(d.datdba, 'USAGE') AS own,
       has_database_privilege(d.oid, 'CREATE') AS create, r.rolsuper OR r.rolcreatedb AS databases, r.rolsuper OR pg_has_role('pg_read_all_stats', 'USAGE') AS see,
       pg_is_in_recovery() AS recovery, pg_encoding_to_char(d.encoding)::text AS encoding, d.datcollate || '/' || d.datctype AS collation,
       (SELECT count(*) FROM pg_prepared_xacts p WHERE p.database = current_database())::text AS prepared,
       (current_setting('max_locks_per_transaction')::bigint * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint))::text AS locks
     FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user`,
  );
  const {
    number = '0',
    superuser = false,
    own = false,
    create = false,
    databases = false,
    see = false,
  } = row ?? {};
  return {
    database: row?.database ?? '',
    systemId: await systemIdOf(session),
    version: (row?.version ?? '').split(' ')[0] ?? '',
    major: Math.floor(Number(number) / 10_000),
    user: row?.user ?? '',
    can: { superuser, own, create, databases, see },
    inRecovery: row?.recovery ?? false,
    encoding: row?.encoding ?? '',
    collation: row?.collation ?? '',
    preparedTransactions: Number(row?.prepared ?? 0),
    locks: Number(row?.locks ?? 0),
  };
}

/** Where it may not be asked, the server's start and port have to tell it from others. */
export async function systemIdOf(session: Session): Promise<string> {
  const [row] = await session
    .ask<{ id: string }>('SELECT system_identifier::text AS id FROM pg_control_system()')
    .catch(() =>
      session.ask<{ id: string }>(
        `SELECT extract(epoch FROM pg_postmaster_start_time())::text || ':' || coalesce(inet_server_port(), 0) AS id`,
      ),
    );
  return row?.id ?? '';
}

async function sizesOf(session: Session): Promise<{
  sizes: DatabaseFacts['size'];
  counts: DatabaseFacts['counts'];
}> {
  const [row] = await session.ask<
    Record<'all' | 'rows' | 'schemas' | 'tables' | 'sequences' | 'los', string>
  >(
    `SELECT pg_database_size(current_database())::text AS all,
       (coalesce(sum(pg_table_size(c.oid)) FILTER (WHERE c.relkind IN ('r', 'm')), 0) + pg_table_size('pg_largeobject'::regclass))::text AS rows,
       count(DISTINCT c.relnamespace)::text AS schemas, (count(*) FILTER (WHERE c.relkind IN ('r', 'p')))::text AS tables,
       (count(*) FILTER (WHERE c.relkind = 'S'))::text AS sequences, (SELECT count(*) FROM pg_largeobject_metadata)::text AS los
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${OWN_SCHEMAS}`,
  );
  const n = (text: string | undefined): number => Number(text ?? 0);
  return {
    sizes: { all: n(row?.all), rows: n(row?.rows) },
    counts: {
      schemas: n(row?.schemas),
      tables: n(row?.tables),
      sequences: n(row?.sequences),
      largeObjects: n(row?.los),
    },
  };
}

async function foreignOwners(session: Session): Promise<string[]> {
  const rows = await session.ask<{ name: string }>(
    `SELECT DISTINCT r.rolname::text AS name FROM (
       SELECT c.relowner AS owner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${OWN_SCHEMAS} AND ${notOfExtension('pg_class', 'c.oid')}
       UNION ALL SELECT f.proowner FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace WHERE ${OWN_SCHEMAS} AND ${notOfExtension('pg_proc', 'f.oid')}
       UNION ALL SELECT n.nspowner FROM pg_namespace n WHERE ${OWN_SCHEMAS} AND n.nspname <> 'public' AND n.oid >= ${FIRST_OWN}
       UNION ALL SELECT l.lomowner FROM pg_largeobject_metadata l
     ) o JOIN pg_roles r ON r.oid = o.owner WHERE NOT pg_has_role(r.oid, 'USAGE') ORDER BY 1 LIMIT ${NAMED}`,
  );
  return rows.map(({ name }) => name);
}

async function eventTriggers(session: Session): Promise<string[]> {
  const rows = await session.ask<{ name: string }>(
    `SELECT o.evtname::text AS name FROM pg_event_trigger o WHERE ${notOfExtension('pg_event_trigger', 'o.oid')} ${NOT_OF_HEROKU} ORDER BY 1 LIMIT ${NAMED}`,
  );
  return rows.map(({ name }) => name);
}

async function availableAt(session: Session): Promise<Record<string, string[]>> {
  const rows = await session.ask<{ name: string; versions: string[] }>(
    `SELECT name::text, array_agg(version) AS versions FROM pg_available_extension_versions GROUP BY 1`,
  );
  return Object.fromEntries(rows.map(({ name, versions }) => [name, versions]));
}

async function notDumped(session: Session): Promise<NotDumped> {
  const list = async (sql: string): Promise<string[]> =>
    (await session.ask<{ name: string }>(`${sql} ORDER BY 1 LIMIT ${NAMED}`)).map(({ name }) => name);
  const relations = (where: string): Promise<string[]> =>
    list(
      `SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${where} AND ${OWN_SCHEMAS}`,
    );
  const settings = (where: string): Promise<string[]> =>
    list(
      `SELECT concat_ws(' ', (SELECT rolname FROM pg_roles WHERE oid = r.setrole), split_part(s, '=', 1)) AS name FROM pg_db_role_setting r, unnest(r.setconfig) s
       WHERE ${where} AND split_part(s, '=', 1) <> 'default_transaction_read_only'`,
    );
  const here = '(SELECT oid FROM pg_database WHERE datname = current_database())';
  return {
    publications: await list('SELECT pubname::text AS name FROM pg_publication'),
    // Only a superuser may see what they are connected by; their names anybody.
    subscriptions: await list(`SELECT subname::text AS name FROM pg_subscription WHERE subdbid = ${here}`),
    slots: await list(
      `SELECT slot_name::text AS name FROM pg_replication_slots WHERE database = current_database()`,
    ),
    databaseSettings: await settings(`r.setrole = 0 AND r.setdatabase = ${here}`),
    roleSettings: await settings(`r.setrole <> 0 AND r.setdatabase IN (0, ${here})`),
    invalidIndexes: await relations(
      `EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND NOT i.indisvalid)`,
    ),
    foreignTables: await relations(`c.relkind = 'f'`),
    unlogged: await relations(`c.relkind = 'r' AND c.relpersistence = 'u'`),
    tablespaces: await list(
      `SELECT DISTINCT t.spcname::text AS name FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE t.spcname NOT LIKE 'pg\\_%'`,
    ),
  };
}

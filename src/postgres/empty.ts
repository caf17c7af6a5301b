/** Whether a database holds anything, and taking it out. The database itself stays, with its settings and its rights. */
import { ident, type Session } from './connect.js';
import { IN_SCHEMAS, notOfExtension, OWN_EXTENSIONS, OWN_SCHEMAS, WITHOUT_SCHEMA } from './catalogs.js';

export interface Held {
  /** Objects of every kind: tables, types, functions, extensions, schemas. */
  objects: number;
  largeObjects: number;
}

export async function heldBy(session: Session): Promise<Held> {
  const [row] = await session.ask<{ objects: string; los: string }>(
    `SELECT ((SELECT count(*) FROM (${IN_SCHEMAS}) s) + (SELECT count(*) FROM (${WITHOUT_SCHEMA}) w)
       + (SELECT count(*) FROM pg_namespace n WHERE ${OWN_SCHEMAS} AND n.nspname <> 'public' AND ${notOfExtension('pg_namespace', 'n.oid')})
       + (SELECT count(*) FROM pg_extension x WHERE ${OWN_EXTENSIONS}))::text AS objects,
       (SELECT count(*) FROM pg_largeobject_metadata)::text AS los`,
  );
  return { objects: Number(row?.objects ?? 0), largeObjects: Number(row?.los ?? 0) };
}

export function isEmpty({ objects, largeObjects }: Held): boolean {
  return objects === 0 && largeObjects === 0;
}

/** So many in one transaction: each takes locks, of which a server has some thousands. */
const AT_ONCE = 20;
const LARGE_OBJECTS_AT_ONCE = 500;

/** How pg_identify_object calls what DROP calls otherwise. */
const WORDS: Readonly<Record<string, string>> = {
  'composite type': 'TYPE',
  'statistics object': 'STATISTICS',
  'foreign-data wrapper': 'FOREIGN DATA WRAPPER',
};

interface Named {
  type: string;
  identity: string;
}

/**
 * Takes out all that is in it, in small transactions. Harmless when nothing is there, and can be gone on with after any death.
 * @throws FerryError NotPermitted where something is not this user's
 */
export async function emptyDatabase(
  session: Session,
  onProgress: (left: number) => void = () => {},
): Promise<void> {
  const extensions = await session.ask<{ name: string }>(
    `SELECT x.extname AS name FROM pg_extension x WHERE ${OWN_EXTENSIONS} ORDER BY x.oid`,
  );
  // Each drop takes others along, so it is asked anew what is left.
  for (;;) {
    const left = await session.ask<Named>(
      `SELECT i.type, i.identity FROM (${WITHOUT_SCHEMA} UNION ALL ${IN_SCHEMAS}) o,
         LATERAL pg_identify_object(o.classid, o.objid, 0) i
         ORDER BY i.type IN ('event trigger', 'publication') DESC, i.type IN ('table', 'view', 'materialized view', 'foreign table') DESC, o.objid
         LIMIT ${AT_ONCE * 50}`,
    );
    if (left.length === 0) break;
    onProgress(left.length);
    for (let at = 0; at < left.length; at += AT_ONCE) await dropAll(session, left.slice(at, at + AT_ONCE));
  }
  for (const { name } of extensions) await session.ask(`DROP EXTENSION IF EXISTS ${ident(name)} CASCADE`);
  const schemas = await session.ask<{ name: string }>(
    `SELECT n.nspname AS name FROM pg_namespace n WHERE ${OWN_SCHEMAS} AND n.nspname <> 'public'
       AND ${notOfExtension('pg_namespace', 'n.oid')}`,
  );
  for (const { name } of schemas) await session.ask(`DROP SCHEMA IF EXISTS ${ident(name)} CASCADE`);
  for (;;) {
    const [gone] = await session.ask<{ n: string }>(
      `SELECT count(lo_unlink(oid))::text AS n FROM (SELECT oid FROM pg_largeobject_metadata LIMIT ${LARGE_OBJECTS_AT_ONCE}) l`,
    );
    if (Number(gone?.n ?? 0) === 0) break;
  }
}

/** IF EXISTS: what goes along with the ones before it is gone. */
async function dropAll(session: Session, objects: readonly Named[]): Promise<void> {
  const drops = objects.map(
    ({ type, identity }) => `DROP ${WORDS[type] ?? type.toUpperCase()} IF EXISTS ${identity} CASCADE`,
  );
  await session.ask(`SET client_min_messages = 'error'; ${drops.join('; ')}`);
}

/** What is a database's own, in SQL: not the system's, not an extension's, and not our mark. */

/** The schema that stands in a target while an upgrade fills it. */
export const MARK = 'redis_ferry';

/** Heroku's own schema, in every database there. Superusers own it, and event triggers that call what is in it. */
export const HEROKU = '_heroku';

/** Condition on `pg_namespace n`. */
export const OWN_SCHEMAS = `n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '${MARK}', '${HEROKU}')`;

/** Condition: the object is no member of an extension. `of` is a catalog, `oid` an expression. */
export function notOfExtension(of: string, oid: string): string {
  return `NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '${of}'::regclass AND e.objid = ${oid} AND e.deptype = 'e')`;
}

/** Objects below this oid came with the server. */
export const FIRST_OWN = 16_384;

/**
 * Everything in a schema: classid, objid. Not what belongs to another object (a range's functions, a table's row type and indexes).
 */
export const IN_SCHEMAS = `SELECT d.classid, d.objid FROM pg_depend d JOIN pg_namespace n ON n.oid = d.refobjid
  WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype = 'n' AND ${OWN_SCHEMAS}
    AND d.classid <> 'pg_default_acl'::regclass AND d.classid <> 'pg_extension'::regclass
    AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype IN ('e', 'i'))`;

/** Kinds of objects that are in no schema, in an order in which they can be dropped. */
const SCHEMALESS = [
  'pg_event_trigger',
  'pg_publication',
  'pg_cast',
  'pg_transform',
  'pg_foreign_server',
  'pg_foreign_data_wrapper',
  'pg_language',
  'pg_am',
] as const;

/** Condition on `pg_event_trigger o`, behind others. */
export const NOT_OF_HEROKU = `AND NOT EXISTS (SELECT FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace WHERE f.oid = o.evtfoid AND n.nspname = '${HEROKU}')`;

/** The same for what is in no schema. */
export const WITHOUT_SCHEMA = SCHEMALESS.map(
  (catalog) =>
    `SELECT '${catalog}'::regclass::oid AS classid, o.oid AS objid FROM ${catalog} o WHERE o.oid >= ${FIRST_OWN} AND ${notOfExtension(catalog, 'o.oid')}
     AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = '${catalog}'::regclass AND i.objid = o.oid AND i.deptype = 'i')
     ${catalog === 'pg_event_trigger' ? NOT_OF_HEROKU : ''}`,
).join(' UNION ALL ');

/** Condition on `pg_extension x`: this user may drop and make it. What a provider has put there stays, and counts as nothing. */
export const OWN_EXTENSIONS = `x.extname <> 'plpgsql' AND pg_has_role(x.extowner, 'USAGE')`;

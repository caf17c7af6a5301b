/** All but the rows: every object by its name, with a text that defines it. */
import type { Session } from '../connect.js';
import { IN_SCHEMAS, OWN_SCHEMAS, WITHOUT_SCHEMA, notOfExtension } from '../catalogs.js';

export const STRUCTURE_KINDS = [
  'schema',
  'extension',
  'object',
  'table',
  'column',
  'view',
  'index',
  'constraint',
  'trigger',
  'rule',
  'policy',
  'function',
  'type',
  'sequence',
] as const;
export type StructureKind = (typeof STRUCTURE_KINDS)[number];

const NAME = `n.nspname || '.' || c.relname`;
const OF_CLASS = `JOIN pg_namespace n ON n.oid = c.relnamespace`;
const OWN = `${OWN_SCHEMAS} AND ${notOfExtension('pg_class', 'c.oid')}`;

/** Each gives `name` and `says`. Definitions are asked for with an empty search_path, so that names in them are whole. */
function queries(major: number): Record<StructureKind, string> {
  const generated = major >= 12 ? 'a.attgenerated' : `''`;
  return {
    schema: `SELECT n.nspname AS name, '' AS says FROM pg_namespace n WHERE ${OWN_SCHEMAS} AND ${notOfExtension('pg_namespace', 'n.oid')}`,
    extension: `SELECT x.extname AS name, '' AS says FROM pg_extension x`,
    object: `SELECT i.type || ' ' || i.identity AS name, '' AS says FROM (${IN_SCHEMAS} UNION ALL ${WITHOUT_SCHEMA}) o,
      LATERAL pg_identify_object(o.classid, o.objid, 0) i WHERE i.type NOT IN ('publication', 'default acl')`,
    table: `SELECT ${NAME} AS name, concat_ws(' ', c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
        array_to_string(c.reloptions, ','), pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
        CASE WHEN c.relkind = 'm' THEN c.relispopulated::text END,
        (SELECT string_agg(p.inhparent::regclass::text, ',' ORDER BY p.inhseqno) FROM pg_inherits p WHERE p.inhrelid = c.oid)) AS says
      FROM pg_class c ${OF_CLASS} WHERE c.relkind IN ('r', 'p', 'f', 'm', 'v') AND ${OWN}`,
    column: `SELECT ${NAME} || '.' || a.attname AS name, concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        ${generated}, pg_get_expr(d.adbin, d.adrelid), k.collname) AS says
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid ${OF_CLASS}
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        LEFT JOIN pg_collation k ON k.oid = a.attcollation AND k.collname <> 'default'
      WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND ${OWN}`,
    view: `SELECT ${NAME} AS name, pg_get_viewdef(c.oid) AS says
      FROM pg_class c ${OF_CLASS} WHERE c.relkind IN ('v', 'm') AND ${OWN}`,
    // One that is not valid is not dumped; at the target it counts as missing.
    index: `SELECT n.nspname || '.' || x.relname AS name, concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisprimary, i.indisclustered,
        i.indisreplident) AS says
      FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid ${OF_CLASS} WHERE i.indisvalid AND ${OWN}`,
    constraint: `SELECT coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text) || ' ' || k.conname AS name,
        concat_ws(' ', pg_get_constraintdef(k.oid), k.convalidated) AS says
      FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
      WHERE k.contype NOT IN ('n', 't') AND ${OWN_SCHEMAS} AND ${notOfExtension('pg_class', 'k.conrelid')}
        AND ${notOfExtension('pg_type', 'k.contypid')}`,
    trigger: `SELECT ${NAME} || ' ' || t.tgname AS name, concat_ws(' ', t.tgenabled, pg_get_triggerdef(t.oid)) AS says
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid ${OF_CLASS} WHERE NOT t.tgisinternal AND ${OWN}
        AND NOT EXISTS (SELECT FROM pg_inherits p JOIN pg_trigger u ON u.tgrelid = p.inhparent AND u.tgname = t.tgname
          WHERE p.inhrelid = c.oid AND c.relispartition)`,
    rule: `SELECT ${NAME} || ' ' || r.rulename AS name, concat_ws(' ', r.ev_enabled, pg_get_ruledef(r.oid)) AS says
      FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class ${OF_CLASS} WHERE r.rulename <> '_RETURN' AND ${OWN}`,
    policy: `SELECT ${NAME} || ' ' || y.polname AS name, concat_ws(' ', y.polcmd, y.polpermissive, pg_get_expr(y.polqual, y.polrelid),
        pg_get_expr(y.polwithcheck, y.polrelid)) AS says
      FROM pg_policy y JOIN pg_class c ON c.oid = y.polrelid ${OF_CLASS} WHERE ${OWN}`,
    function: `SELECT n.nspname || '.' || f.proname || '(' || pg_get_function_identity_arguments(f.oid) || ')' AS name,
        concat_ws(' ', ${major >= 11 ? 'f.prokind' : 'f.proisagg'}, pg_get_function_arguments(f.oid), pg_get_function_result(f.oid), l.lanname, f.provolatile,
        f.proisstrict, f.prosecdef, f.proleakproof, f.proparallel, f.procost, f.prorows, array_to_string(f.proconfig, ','), f.prosrc, f.probin
        ${major >= 14 ? ', pg_get_function_sqlbody(f.oid)' : ''}) AS says
      FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace JOIN pg_language l ON l.oid = f.prolang
      WHERE ${OWN_SCHEMAS} AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = f.oid AND e.deptype IN ('e', 'i'))`,
    type: `SELECT n.nspname || '.' || t.typname AS name, concat_ws(' ', t.typtype, t.typnotnull, t.typdefault,
        CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
        (SELECT string_agg(v.enumlabel, ',' ORDER BY v.enumsortorder) FROM pg_enum v WHERE v.enumtypid = t.oid),
        (SELECT format_type(r.rngsubtype, NULL) FROM pg_range r WHERE r.rngtypid = t.oid)) AS says
      FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
      WHERE t.typtype IN ('d', 'e', 'r', 'c') AND ${OWN_SCHEMAS} AND ${notOfExtension('pg_type', 't.oid')}
        AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')`,
    sequence: `SELECT ${NAME} AS name, concat_ws(' ', format_type(q.seqtypid, NULL), q.seqstart, q.seqincrement, q.seqmax, q.seqmin, q.seqcache,
        q.seqcycle, (SELECT string_agg(concat_ws('.', d.refobjid::regclass, d.refobjsubid, d.deptype), ',') FROM pg_depend d
          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))) AS says
      FROM pg_sequence q JOIN pg_class c ON c.oid = q.seqrelid ${OF_CLASS} WHERE ${OWN}`,
  };
}

export interface Defined {
  name: string;
  says: string;
}

export async function structureOf(
  session: Session,
  { kind, major }: { kind: StructureKind; major: number },
): Promise<Defined[]> {
  return session.ask<{ name: string; says: string }>(queries(major)[kind]);
}

/** Where a version breaks lines and which words it quotes is no difference. */
export function plain(says: string): string {
  return says.replaceAll('"', '').replaceAll(/\s+/g, ' ').trim();
}

const AT_ONCE = 200;

/** The value that each sequence gave last, and whether it did. */
export async function sequenceValues(session: Session): Promise<Defined[]> {
  const names = await session.ask<{ name: string; read: string }>(
    `SELECT ${NAME} AS name, format('%I.%I', n.nspname, c.relname) AS read FROM pg_class c ${OF_CLASS} WHERE c.relkind = 'S' AND ${OWN} ORDER BY 1`,
  );
  const values: Defined[] = [];
  for (let at = 0; at < names.length; at += AT_ONCE) {
    const part = names.slice(at, at + AT_ONCE);
    const reads = part.map(
      ({ read }, index) => `SELECT ${index} AS at, last_value || ' ' || is_called AS says FROM ${read}`,
    );
    const rows = await session.ask<{ at: number; says: string }>(reads.join(' UNION ALL '));
    for (const { at: index, says } of rows) values.push({ name: part[index]?.name ?? '', says });
  }
  return values;
}

/** By pages, as servers keep them; what is zero to its end counts for nothing, since a hole is restored as zeros. */
export async function largeObjects(session: Session): Promise<{ count: number; sum: string }> {
  const [may] = await session.ask<{ may: boolean }>(
    `SELECT has_table_privilege('pg_catalog.pg_largeobject', 'SELECT') AS may`,
  );
  const pages = may?.may
    ? `SELECT loid, pageno::int AS page, rtrim(encode(data, 'hex'), '0') AS data FROM pg_largeobject`
    : `SELECT m.oid AS loid, p AS page, rtrim(encode(substring(l.data FROM p * 2048 + 1 FOR 2048), 'hex'), '0') AS data
       FROM pg_largeobject_metadata m, LATERAL (SELECT lo_get(m.oid) AS data OFFSET 0) l, LATERAL generate_series(0, (length(l.data) - 1) / 2048) p`;
  const [row] = await session.ask<{ count: string; sum: string }>(
    `SELECT (SELECT count(*) FROM pg_largeobject_metadata)::text AS count,
       coalesce((SELECT sum(('x' || substr(md5(loid || ':' || page || ':' || data), 1, 16))::bit(64)::bigint) FROM (${pages}) p WHERE data <> ''), 0)::text AS sum`,
  );
  return { count: Number(row?.count ?? 0), sum: row?.sum ?? '' };
}

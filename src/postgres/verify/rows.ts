/** The rows of a table as two numbers that are the same for the same rows in any order, on any version. */
import { ident, type Session } from '../connect.js';
import { OWN_SCHEMAS, notOfExtension } from '../catalogs.js';

export interface TableToSum {
  schema: string;
  table: string;
  /** Expressions of its columns. */
  columns: string[];
  bytes: number;
}

/** Text of these was rounded before version 12. */
const SENDS: Readonly<Record<string, string>> = {
  float4: 'float4send',
  float8: 'float8send',
  _float4: 'array_send',
  _float8: 'array_send',
  point: 'point_send',
  _point: 'array_send',
  line: 'line_send',
  lseg: 'lseg_send',
  box: 'box_send',
  path: 'path_send',
  polygon: 'poly_send',
  _polygon: 'array_send',
  circle: 'circle_send',
  // As text it is twice as long, and may be too long.
  bytea: 'md5',
};

/** Largest first, so that several sessions end at about the same time. */
export async function tablesToSum(session: Session): Promise<TableToSum[]> {
  const rows = await session.ask<{ schema: string; table: string; bytes: string; columns: string }>(
    `SELECT n.nspname AS schema, c.relname AS table, pg_table_size(c.oid)::text AS bytes,
       coalesce((SELECT json_agg(json_build_array(a.attname, coalesce(b.typname, t.typname)) ORDER BY a.attnum)
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]')::text AS columns
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND ${OWN_SCHEMAS} AND ${notOfExtension('pg_class', 'c.oid')}
     ORDER BY pg_table_size(c.oid) DESC, 1, 2`,
  );
  return rows.map(({ schema, table, bytes, columns }) => ({
    schema,
    table,
    bytes: Number(bytes),
    columns: (JSON.parse(columns) as [string, string][]).map(([name, type]) => {
      const send = SENDS[type];
      return send === undefined ? ident(name) : `${send}(${ident(name)})`;
    }),
  }));
}

export interface Sum {
  rows: number;
  /** Two sums of 64 bits of each row's MD5. */
  sum: string;
}

/** `utf8`: the servers keep text differently. The memory of the server does not grow with the table. */
export async function sumOf(session: Session, table: TableToSum, utf8: boolean): Promise<Sum> {
  const row = `ROW(${table.columns.join(', ')})::text`;
  const half = (from: number): string =>
    `coalesce(sum(('x' || substr(h, ${from}, 16))::bit(64)::bigint), 0)::text`;
  const [found] = await session.ask<{ rows: string; a: string; b: string }>(
    `SELECT count(*)::text AS rows, ${half(1)} AS a, ${half(17)} AS b
     FROM (SELECT md5(${utf8 ? `convert_to(${row}, 'UTF8')` : row}) AS h FROM ONLY ${ident(table.schema)}.${ident(table.table)}) t`,
  );
  return { rows: Number(found?.rows ?? 0), sum: `${found?.a ?? ''}/${found?.b ?? ''}` };
}

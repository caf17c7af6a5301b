/** pg_restore into an empty database. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FerryError } from '../errors.js';
import { capture, follow } from '../platform/exec.js';
import { environmentFor, shown } from './address.js';
import { withSession, type At } from './connect.js';
import { HEROKU, OWN_EXTENSIONS } from './catalogs.js';
import { dumpIn } from './dump.js';
import { firstError } from './said.js';
import type { PostgresTools } from './tools.js';

export interface RestoreFacts {
  /** Entries of the dump's table of contents that were restored. */
  items: number;
  seconds: number;
  /** Entries that were left out, in words. */
  leftOut: string[];
}

/** A table of contents has a line for each object. */
const LIST_LIMIT = 256 * 1024 * 1024;

/**
 * All of the dump or a failure; the first error ends it. Statistics are gathered at the end, since a dump brings none.
 * @throws FerryError RestoreFailed; the signal's reason when aborted
 */
export async function restoreDump(
  at: At & {
    tools: PostgresTools;
    /** Of the dump; a list of what is restored is written into it. */
    folder: string;
    jobs: number;
    /** With owners, rights and publications: it is put back where it came from. */
    whole: boolean;
    onProgress?: (done: number, total: number) => void;
  },
): Promise<RestoreFacts> {
  const { address, name, tools, folder, jobs, whole, signal, onProgress = () => {} } = at;
  const started = performance.now();
  const there = await withSession(at, async (session) => ({
    extensions: await session.ask<{ name: string }>(
      `SELECT x.extname AS name FROM pg_extension x WHERE NOT (${OWN_EXTENSIONS})`,
    ),
    schemas: await session.ask<{ name: string }>(
      `SELECT 'public' AS name FROM pg_namespace WHERE nspname = 'public'`,
    ),
  }));
  const listFile = join(folder, `list-${name.slice(name.lastIndexOf(':') + 1)}`);
  const contents = await read({ tools, folder, args: ['--list'], signal });
  const { list, items, leftOut } = chosen(contents, {
    extensions: there.extensions.map((each) => each.name),
    publicIsThere: there.schemas.length > 0,
    eventTriggers: await eventTriggersOfHeroku({ tools, folder, contents, listFile, signal }),
  });
  await writeFile(listFile, `${list.join('\n')}\n`, { mode: 0o600 });
  let done = 0;
  try {
    await follow({
      label: 'pg_restore',
      command: [
        tools.pgRestore,
        '--clean',
        '--if-exists',
        ...(whole ? [] : ['--no-acl', '--no-owner', '--no-publications']),
        '--no-subscriptions',
        ...(whole ? [] : ['--no-tablespaces']),
        '--exit-on-error',
        '--verbose',
        '--no-password',
        `--jobs=${jobs}`,
        `--use-list=${listFile}`,
        `--dbname=${connectionTo(address.database)}`,
        dumpIn(folder),
      ],
      name: '',
      step: '',
      env: environmentFor(address, name),
      signal,
      hear: (line) => {
        if (!FINISHED.test(line)) return;
        done = Math.min(done + 1, items);
        onProgress(done, items);
      },
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof FerryError)) throw error;
    throw new FerryError('RestoreFailed', `${shown(address)}: pg_restore: ${firstError(error.message)}`);
  }
  await withSession(at, (session) => session.ask('ANALYZE'));
  return { items, seconds: Math.round((performance.now() - started) / 100) / 10, leftOut };
}

/** As pg_restore --verbose tells it, alone and in parallel. */
const FINISHED =
  /: (?:creating|finished item|processing data for|executing SEQUENCE SET|restoring large object)\b/;

interface Reading {
  tools: PostgresTools;
  folder: string;
  signal: AbortSignal | undefined;
}

/** Lines that pg_restore says of the dump. */
async function read({ tools, folder, args, signal }: Reading & { args: string[] }): Promise<string[]> {
  const spec = { command: [tools.pgRestore, ...args, dumpIn(folder)], timeout: '10m' };
  const said = await capture({
    label: `pg_restore ${args[0] ?? ''}`,
    spec,
    name: '',
    step: '',
    limit: LIST_LIMIT,
    signal,
  });
  if (said.exitCode !== 0)
    throw new FerryError('RestoreFailed', `pg_restore can not read the dump: ${firstError(said.stderrTail)}`);
  return said.stdout.split('\n');
}

/** Names of event triggers that call what is in Heroku's schema. A table of contents does not say what they call; their definitions do. */
async function eventTriggersOfHeroku(
  on: Reading & { contents: readonly string[]; listFile: string },
): Promise<string[]> {
  const { contents, listFile, ...reading } = on;
  const all = contents.filter((line) => /^\d+; \d+ \d+ EVENT TRIGGER /.test(line));
  if (all.length === 0) return [];
  await writeFile(listFile, `${all.join('\n')}\n`, { mode: 0o600 });
  const sql = (await read({ ...reading, args: [`--use-list=${listFile}`, '--file=-'] })).join('\n');
  const made =
    /CREATE EVENT TRIGGER ("(?:[^"]|"")+"|\S+) ON [^;]*? EXECUTE (?:FUNCTION|PROCEDURE) "?([^".]+)"?\./g;
  return [...sql.matchAll(made)]
    .filter(([, , schema]) => schema === HEROKU)
    .map(([, name = '']) => name.replaceAll('"', ''));
}

/** Lines of a table of contents, such as `2; 3079 16390 EXTENSION - hstore`. */
export function chosen(
  contents: readonly string[],
  there: {
    extensions: readonly string[];
    publicIsThere: boolean;
    /** Those of Heroku. */
    eventTriggers?: readonly string[];
  },
): { list: string[]; items: number; leftOut: string[] } {
  const leftOut: string[] = [];
  const others = contents.filter((line) => !isOfHeroku(line, there.eventTriggers ?? []));
  if (others.length < contents.length)
    leftOut.push(`what is Heroku's own (${contents.length - others.length} items)`);
  const list = others.filter((line) => {
    const [, , what = '', name = ''] =
      /^\d+; (\d+ \d+) ((?:COMMENT - )?(?:EXTENSION|SCHEMA)(?: -)?) (.*?)\s*$/.exec(line) ?? [];
    const named = name.replace(/ \S*$/, '').replaceAll('"', '') || name;
    // A comment on an extension comes with it, and is its owner's to set.
    if (what === 'COMMENT - EXTENSION') return false;
    if (what === 'EXTENSION -' && there.extensions.includes(named)) {
      leftOut.push(`the extension ${named}, which is there already`);
      return false;
    }
    if (/SCHEMA/.test(what) && named === 'public' && there.publicIsThere) return false;
    return true;
  });
  return { list, items: list.filter((line) => /^\d+;/.test(line)).length, leftOut };
}

const HEROKUS = new RegExp(`^(?:SCHEMA )?${HEROKU} `);

/** In its schema, the schema itself, one of its event triggers, or a comment or a right on one of these. */
function isOfHeroku(line: string, eventTriggers: readonly string[]): boolean {
  const [, kind = '', name = ''] = /^\d+; \d+ \d+ ([A-Z]+(?: [A-Z]+)*(?: -)?) (\S.*)$/.exec(line) ?? [];
  const rest = `${name.replaceAll('"', '')} `;
  if (!kind.endsWith('-')) return rest.startsWith(`${HEROKU} `);
  return (
    HEROKUS.test(rest) ||
    eventTriggers.some((each) => rest.startsWith(`${each} `) || rest.startsWith(`EVENT TRIGGER ${each} `))
  );
}

/** A name alone would be taken for a URL where it looks like one. */
function connectionTo(database: string): string {
  return `dbname='${database.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`;
}

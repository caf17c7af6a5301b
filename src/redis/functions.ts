/**
 * Function libraries (from 7.0). They belong to the server and not to a database, and are no keys: neither SCAN nor the tracker
 * of changes tells of them.
 */
import { FerryError } from '../errors.js';
import { failureOf } from './resp-errors.js';
import { asBuffer, asList, asText, openConnection, ReplyError, type Connection, type Reply } from './resp.js';
import type { ServerAddress } from './address.js';

export interface Library {
  engine: string;
  code: Buffer;
}

/** By name, in its order. Null where the server has no functions, or doesn't let us ask. */
export async function readLibraries(connection: Connection): Promise<Map<string, Library> | null> {
  const [reply] = await connection.pipeline([['FUNCTION', 'LIST', 'WITHCODE']]);
  if (reply instanceof ReplyError || reply === undefined) return null;
  const libraries = asList(reply).map((entry): [string, Library] => {
    const about = fieldsOf(entry);
    const library = { engine: asText(about.get('engine')), code: asBuffer(about.get('library_code')) };
    return [asText(about.get('library_name')), library];
  });
  return new Map(libraries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function fieldsOf(reply: Reply): Map<string, Reply> {
  const list = asList(reply);
  const map = new Map<string, Reply>();
  for (let i = 0; i + 1 < list.length; i += 2) map.set(asText(list[i]), list[i + 1] ?? null);
  return map;
}

export function sameLibrary(a: Library | undefined, b: Library | undefined): boolean {
  return (
    a !== undefined &&
    b !== undefined &&
    a.engine.toLowerCase() === b.engine.toLowerCase() &&
    a.code.equals(b.code)
  );
}

export interface CarriedFunctions {
  /** Libraries of the source that the target has now with the same code. */
  carried: string[];
  /** Of those, the ones that had to be loaded this time. */
  loaded: string[];
}

/**
 * Loads every library of the source that the target lacks or has with other code. What only the target has stays, and so does what
 * is named in `leave`, whatever its code.
 * @throws FerryError when the target refuses one
 */
export async function carryFunctions(options: {
  source: ServerAddress;
  target: ServerAddress;
  leave: readonly string[];
  name: string;
  confirm?: (() => Promise<void>) | undefined;
  signal?: AbortSignal | undefined;
}): Promise<CarriedFunctions> {
  const { leave } = options;
  return onBoth(options, async ({ source, target }) => {
    const result: CarriedFunctions = { carried: [], loaded: [] };
    const from = await readLibraries(source);
    // Not to be asked for: pre-flight has said so.
    if (from === null || from.size === 0) return result;
    const to = await readLibraries(target);
    if (to === null) return result;
    for (const [library, wanted] of from) {
      if (leave.includes(library)) continue;
      if (!sameLibrary(wanted, to.get(library))) {
        const [reply] = await target.pipeline([['FUNCTION', 'LOAD', 'REPLACE', wanted.code]]);
        if (reply instanceof ReplyError) throw refused(reply, library, target.shown);
        result.loaded.push(library);
      }
      result.carried.push(library);
    }
    return result;
  });
}

/** Takes away again what was carried to a target: the source's libraries, but for those that it had of its own. */
export async function removeFunctions(options: {
  source: ServerAddress;
  target: ServerAddress;
  own: readonly string[];
  name: string;
  confirm?: (() => Promise<void>) | undefined;
  signal?: AbortSignal | undefined;
}): Promise<string[]> {
  const { own } = options;
  return onBoth(options, async ({ source, target }) => {
    const [from, to] = [await readLibraries(source), await readLibraries(target)];
    const removed: string[] = [];
    for (const library of to?.keys() ?? []) {
      if (own.includes(library) || !from?.has(library)) continue;
      await target.call(['FUNCTION', 'DELETE', library]);
      removed.push(library);
    }
    return removed;
  });
}

function refused(error: ReplyError, library: string, where: string): FerryError {
  const known = failureOf({ error, command: ['FUNCTION', 'LOAD'], where });
  return known.type === 'Unknown'
    ? new FerryError('FormatRefused', `${where} refuses the function library ${library}: ${known.message}`)
    : known;
}

async function onBoth<T>(
  options: {
    source: ServerAddress;
    target: ServerAddress;
    name: string;
    /** Asked once connected, before anything is written; throws when this attempt has no right to write any more. */
    confirm?: (() => Promise<void>) | undefined;
    signal?: AbortSignal | undefined;
  },
  use: (on: { source: Connection; target: Connection }) => Promise<T>,
): Promise<T> {
  const { name, signal } = options;
  const source = await openConnection({ address: options.source, name, signal });
  try {
    const target = await openConnection({ address: options.target, name, signal });
    try {
      await options.confirm?.();
      return await use({ source, target });
    } finally {
      target.close();
    }
  } finally {
    source.close();
  }
}

/**
 * What the source holds that the target has no place for, found before anything is copied: types of modules, hash fields that
 * expire, function libraries. Keys are only looked at where there is a reason to.
 */
import type { Rate } from '../inputs/redis-copy.js';
import type { DatabaseMap, ServerAddress } from './address.js';
import { printable } from './difference.js';
import { readLibraries, sameLibrary } from './functions.js';
import { isReadable, readPieces } from './pieces.js';
import type { Pace } from './rate.js';
import { asText, type Command } from './resp.js';
import { ahead, scanKeys } from './scan.js';
import { KeyChanged, type Session } from './session.js';
import { onBothSides, type Way } from './transfer.js';
import { sideBySide } from './values.js';

export interface Found {
  /** Keys of this kind among those looked at. */
  count: number;
  /** At most 20 names. */
  sample: string[];
}

export interface Contents {
  /** Keys looked at, of how many; null where there was no reason to look. */
  looked: { keys: number; of: number } | null;
  /** Keys of types without commands that we know, by type; null: not looked for. */
  opaque: Record<string, Found> | null;
  /** Hashes with fields that expire, for a target without; null: not looked for. */
  expiringFields: Found | null;
  /** Names of function libraries; null where there are none or they can't be asked for. */
  libraries: {
    source: string[] | null;
    target: string[] | null;
    /** On both sides under one name, with other code. */
    different: string[];
  };
}

export interface ContentsOptions {
  source: ServerAddress;
  target: ServerAddress;
  databases: DatabaseMap;
  match: string;
  way: Way;
  /** Names of modules; null where they can't be asked for. */
  modules: { source: readonly string[] | null; target: readonly string[] | null };
  rate: () => Rate;
  /** Milliseconds after which looking at keys ends. */
  limitMs: number;
  name: string;
  signal: AbortSignal;
}

const SAMPLE = 20;

export async function lookAtContents(options: ContentsOptions): Promise<Contents> {
  const { databases, match, way, modules } = options;

  async function work({
    pair,
    pace,
  }: {
    pair: { source: Session; target: Session };
    pace: Pace;
  }): Promise<Contents> {
    const { source, target } = pair;
    const [from, to] = [await readLibraries(source.connection), await readLibraries(target.connection)];
    const contents: Contents = {
      looked: null,
      opaque: null,
      expiringFields: null,
      libraries: {
        source: from && [...from.keys()],
        target: to && [...to.keys()],
        different: [...(from ?? [])].flatMap(([name, library]) =>
          to?.has(name) && !sameLibrary(library, to.get(name)) ? [name] : [],
        ),
      },
    };
    if (foreign({ way, modules })) contents.opaque = {};
    if (source.fieldExpiry && !target.fieldExpiry && (await mayExpire({ session: source, databases })))
      contents.expiringFields = { count: 0, sample: [] };
    if (contents.opaque === null && contents.expiringFields === null) return contents;

    contents.looked = { keys: 0, of: 0 };
    for (const [database] of databases) {
      await source.select(database);
      contents.looked.of += Number((await source.all([['DBSIZE']]))[0]);
    }
    const until = performance.now() + options.limitMs;
    for (const [database] of databases) {
      await source.select(database);
      for await (const { keys } of ahead(scanKeys({ session: source, match, pace }))) {
        await pace.run({ keys: keys.length, work: () => lookAtKeys({ session: source, keys, contents }) });
        contents.looked.keys += keys.length;
        if (performance.now() > until || options.signal.aborted) return contents;
      }
    }
    // All there are: between the counting and the looking some may have come or gone, or not match.
    contents.looked.of = contents.looked.keys;
    return contents;
  }

  return onBothSides(options, {
    work,
    stopped: () => {
      throw new Error('looking was given up');
    },
  });
}

/** Whether there may be values that only a module of the source can read. */
function foreign({ way, modules }: Pick<ContentsOptions, 'way' | 'modules'>): boolean {
  if (modules.source === null || modules.source.length === 0) return false;
  return way === 'value' || lackingModules(modules).length > 0;
}

/** Modules of the source that the target doesn't have, as far as is known. */
export function lackingModules({ source, target }: ContentsOptions['modules']): string[] {
  const there = new Set(target?.map((module) => module.toLowerCase()));
  return source === null || target === null
    ? []
    : source.filter((module) => !there.has(module.toLowerCase()));
}

/**
 * Servers count the hashes that have fields which expire (Redis 7.4 `subexpiry`, also those that had some until lately; Valkey 9
 * `keys_with_volatile_items`). One that tells no count may have some.
 */
async function mayExpire({
  session,
  databases,
}: {
  session: Session;
  databases: DatabaseMap;
}): Promise<boolean> {
  const [info] = await session.all([['INFO', 'keyspace']]);
  const lines = asText(info).split(/\r?\n/);
  return databases.some(([database]) => {
    const line = lines.find((each) => each.startsWith(`db${database}:`));
    if (line === undefined) return false;
    const counted = /(?:subexpiry|keys_with_volatile_items)=(\d+)/.exec(line)?.[1];
    return counted === undefined || Number(counted) > 0;
  });
}

async function lookAtKeys(on: {
  session: Session;
  keys: readonly Buffer[];
  contents: Contents;
}): Promise<void> {
  const { session, keys, contents } = on;
  const types = (await session.all(keys.map((key): Command => ['TYPE', key]))).map(asText);
  const joint = sideBySide(session);
  await Promise.all(
    keys.map(async (key, i) => {
      const type = types[i] ?? 'none';
      if (type === 'hash' && contents.expiringFields !== null) {
        // Which they are is only known from their fields. Once there are samples enough, the rest is not read.
        if (contents.expiringFields.count < SAMPLE && (await hasExpiringField({ session: joint, key })))
          note(contents.expiringFields, key);
      } else if (type !== 'none' && !isReadable(type) && contents.opaque !== null)
        note((contents.opaque[type] ??= { count: 0, sample: [] }), key);
    }),
  );
}

async function hasExpiringField({ session, key }: { session: Session; key: Buffer }): Promise<boolean> {
  try {
    for await (const piece of readPieces({ session, key, type: 'hash' }))
      if (piece.type === 'hash' && piece.fields.some(({ expireAt }) => expireAt >= 0)) return true;
  } catch (error) {
    // Another key by now: whoever copies it looks again.
    if (!(error instanceof KeyChanged)) throw error;
  }
  return false;
}

function note(found: Found, key: Buffer): void {
  found.count += 1;
  if (found.sample.length < SAMPLE) found.sample.push(printable(key));
}

/**
 * What the source holds that the target has no place for, found before anything is copied: types of modules, hash fields that
 * expire, function libraries. Keys are only looked at where there is a reason to.
 */
import { randomBytes } from 'node:crypto';
import type { Rate } from '../inputs/redis-copy.js';
import type { DatabaseMap, ServerAddress } from './address.js';
import { printable } from './difference.js';
import { readLibraries, sameLibrary } from './functions.js';
import { isReadable, readPieces } from './pieces.js';
import type { Pace } from './rate.js';
import { asText, ReplyError, type Command } from './resp.js';
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

/** Keys of one type that only DUMP carries. */
export interface FoundType extends Found {
  /** Whether the target takes them, as some of them were tried; null: could not be tried. */
  accepted: boolean | null;
}

export interface Contents {
  /** Keys looked at, of how many; null where there was no reason to look. */
  looked: { keys: number; of: number } | null;
  /** Keys of types without commands that we know, by type; null: not looked for. */
  opaque: Record<string, FoundType> | null;
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
  /** Milliseconds after which looking at keys ends; a fourth of it where nothing but a module of another version is to be feared. */
  limitMs: number;
  name: string;
  signal: AbortSignal;
}

const SAMPLE = 20;

export async function lookAtContents(options: ContentsOptions): Promise<Contents> {
  const { databases, match, modules } = options;

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
    // What a module keeps may not be readable to the target even where that has the module too, in another version.
    if (modules.source !== null && modules.source.length > 0) contents.opaque = {};
    if (source.fieldExpiry && !target.fieldExpiry && (await mayExpire({ session: source, databases })))
      contents.expiringFields = { count: 0, sample: [] };
    if (contents.opaque === null && contents.expiringFields === null) return contents;

    contents.looked = { keys: 0, of: 0 };
    for (const [database] of databases) {
      await source.select(database);
      contents.looked.of += Number((await source.all([['DBSIZE']]))[0]);
    }
    const feared =
      contents.expiringFields !== null || options.way === 'value' || lackingModules(modules).length > 0;
    const until = performance.now() + options.limitMs / (feared ? 1 : 4);
    for (const [database] of databases) {
      await source.select(database);
      for await (const { keys } of ahead(scanKeys({ session: source, match, pace }))) {
        const opaque = await pace.run({
          keys: keys.length,
          work: () => lookAtKeys({ session: source, keys, contents }),
        });
        for (const { key, found } of opaque)
          if (found.count <= SAMPLE || found.accepted === null)
            found.accepted = both(found.accepted, await takes({ source, target, key }));
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

/** Returns the keys that only DUMP carries. */
async function lookAtKeys(on: {
  session: Session;
  keys: readonly Buffer[];
  contents: Contents;
}): Promise<{ key: Buffer; found: FoundType }[]> {
  const { session, keys, contents } = on;
  const types = (await session.all(keys.map((key): Command => ['TYPE', key]))).map(asText);
  const joint = sideBySide(session);
  const opaque: { key: Buffer; found: FoundType }[] = [];
  await Promise.all(
    keys.map(async (key, i) => {
      const type = types[i] ?? 'none';
      if (type === 'hash' && contents.expiringFields !== null) {
        // Which they are is only known from their fields. Once there are samples enough, the rest is not read.
        if (contents.expiringFields.count < SAMPLE && (await hasExpiringField({ session: joint, key })))
          note(contents.expiringFields, key);
      } else if (type !== 'none' && !isReadable(type) && contents.opaque !== null) {
        const found = (contents.opaque[type] ??= { count: 0, sample: [], accepted: null });
        note(found, key);
        opaque.push({ key, found });
      }
    }),
  );
  return opaque;
}

/** Larger ones are not tried: their DUMP would stall the source. */
const TRIED_BYTES = 1024 * 1024;

/** Whether the target restores a key, asked with an expiry in the past: it reads all of it and keeps nothing. Null: not known. */
async function takes(on: { source: Session; target: Session; key: Buffer }): Promise<boolean | null> {
  const { source, target, key } = on;
  const [size] = await source.connection.pipeline([['MEMORY', 'USAGE', key]]);
  if (typeof size !== 'number' || size > TRIED_BYTES) return null;
  const [payload] = await source.connection.pipeline([['DUMP', key]]);
  if (!Buffer.isBuffer(payload)) return null;
  const probe = `ferry:probe:${randomBytes(12).toString('hex')}`;
  const [reply] = await target.connection.pipeline([['RESTORE', probe, 1, payload, 'ABSTTL']]);
  if (!(reply instanceof ReplyError)) return true;
  return /version or checksum|bad data format/i.test(reply.message) ? false : null;
}

/** One refusal is enough. */
function both(a: boolean | null, b: boolean | null): boolean | null {
  return a === false || b === false ? false : (a ?? b);
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

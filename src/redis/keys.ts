/** Copies given keys of one database: the common ground of the full copy, the changed keys and the repair. */
import { randomBytes } from 'node:crypto';
import { areOwn, nowOurs, PART_PREFIX } from './ledger.js';
import { isReadable, keyType, readPieces, writePiece } from './pieces.js';
import { failureOf } from './resp-errors.js';
import { asNumber, ReplyError, type Argument, type Command, type Reply } from './resp.js';
import {
  dumpKeys,
  maybeStream,
  readStrings,
  restoreCommand,
  restoreFailure,
  type DumpedKey,
} from './restore.js';
import { ahead } from './scan.js';
import { KeyChanged, type Session } from './session.js';
import { add, NOTHING, type CopyCounts, type Transfer } from './transfer.js';
import { expiryCommand, NO_KEY, settleExpiries } from './ttl.js';
import { ATTEMPTS, neverStill, readValues, sizeOf, writeValues, type ReadValue } from './values.js';

/** What one look at the source brought. By value it holds dumps too: strings as they are, and types that only DUMP carries. */
export interface Look {
  dumped: DumpedKey[];
  values: ReadValue[];
  gone: Buffer[];
}

export async function lookAt({
  transfer,
  keys,
}: {
  transfer: Transfer;
  keys: readonly Buffer[];
}): Promise<Look> {
  const session = transfer.pair.source;
  if (transfer.way === 'dump') return sorted(await dumpKeys({ session, keys }));
  const strings = await readStrings({ session, keys });
  const isOther = ({ payload, expireAt }: DumpedKey): boolean => payload === null && expireAt !== NO_KEY;
  const others = strings.filter(isOther).map(({ key }) => key);
  const { values, opaque, gone } = await readValues({ session, keys: others });
  const dumped = await dumpKeys({ session, keys: opaque });
  const look = sorted([...strings.filter((one) => !isOther(one)), ...dumped]);
  return { ...look, values, gone: [...look.gone, ...gone] };
}

function sorted(all: readonly DumpedKey[]): Look {
  const look: Look = { dumped: [], values: [], gone: [] };
  for (const one of all) {
    if (isPresent(one)) look.dumped.push(one);
    else look.gone.push(one.key);
  }
  return look;
}

interface Present extends DumpedKey {
  payload: Buffer;
}

function isPresent(dumped: DumpedKey): dumped is Present {
  return dumped.payload !== null;
}

/** Restores keys at the target. Without `replace`, one that is there is left alone. */
async function restoreKeys(options: {
  transfer: Transfer;
  dumped: readonly DumpedKey[];
  replace: boolean;
}): Promise<CopyCounts> {
  const { transfer, dumped, replace } = options;
  const { source, target } = transfer.pair;
  const ledgered = transfer.mode === 'replace';
  const tally = { ...NOTHING };
  // One command for all strings of which nothing more has to be said.
  const together: Argument[] = ['MSET'];
  const present: Present[] = [];
  const commands: Command[] = [];
  for (const one of dumped) {
    if (!isPresent(one)) continue;
    if (one.plain && one.expireAt < 0 && replace && !ledgered) {
      together.push(one.key, one.payload);
      tally.copied += 1;
      tally.bytes += one.payload.length;
      continue;
    }
    present.push(one);
    commands.push(restoreCommand({ dumped: one, replace }));
    if (ledgered) commands.push(nowOurs(one.key));
  }
  const [replies] = await Promise.all([
    target.connection.pipeline(commands),
    together.length > 1 ? target.all([together]) : [],
  ]);
  const now = Date.now();
  for (const [i, one] of present.entries()) {
    const reply = replies[ledgered ? 2 * i : i];
    if (reply instanceof ReplyError && (reply.code !== 'BUSYKEY' || replace))
      throw restoreFailure({ error: reply, key: one.key, payload: one.payload, source, target });
    // RESTORE says so by an error, SET … NX by nothing.
    if (reply instanceof ReplyError || reply === null) {
      tally.skipped += 1;
      continue;
    }
    if (transfer.tracker && maybeStream(one)) transfer.tracker.watch(one.key);
    if (one.expireAt >= 0 && one.expireAt <= now) tally.expired += 1;
    else {
      tally.copied += 1;
      tally.bytes += one.payload.length;
    }
  }
  return tally;
}

/** Writes what a look brought. Null when the signal ended it. */
async function writeLook(options: {
  transfer: Transfer;
  look: Look;
  replace: boolean;
}): Promise<CopyCounts | null> {
  const { transfer, look, replace } = options;
  const tally = await restoreKeys({ transfer, dumped: look.dumped, replace });
  const { tally: byValue, refused } = await writeValues({ transfer, values: look.values, replace });
  const both = add(add(tally, byValue), { ...NOTHING, gone: look.gone.length });
  // A part of them was refused. Behind a temporary name the server says why, and nothing is lost meanwhile.
  return copyEach({ transfer, keys: refused, replace, tally: both });
}

async function copyEach(options: {
  transfer: Transfer;
  keys: readonly Buffer[];
  replace: boolean;
  tally: CopyCounts;
}): Promise<CopyCounts | null> {
  const { transfer, keys, replace } = options;
  let { tally } = options;
  for (const key of keys) {
    const one = await copyInPieces({ transfer, key, replace });
    if (one === null) return null;
    tally = add(tally, one);
  }
  return tally;
}

/**
 * Writes what one look at the source brought, as the mode has it. `again`: an earlier run may have written some of it, so
 * with "skip" only the keys noted as the target's own are left. Null when the signal ended it.
 */
export async function writeKeys(options: {
  transfer: Transfer;
  look: Look;
  big: readonly Buffer[];
  again: boolean;
}): Promise<CopyCounts | null> {
  const { transfer, look, big, again } = options;
  const { mode } = transfer;
  const replace = mode !== 'skip' || again;
  if (mode !== 'skip') {
    const tally = await writeLook({ transfer, look, replace });
    return tally && copyEach({ transfer, keys: big, replace, tally });
  }
  const keys = [...[...look.dumped, ...look.values].map(({ key }) => key), ...big];
  const own = await areOwn({ target: transfer.pair.target, keys, mode });
  const theirs = new Set(keys.filter((_, i) => own[i]));
  const wanted = ({ key }: { key: Buffer }): boolean => !theirs.has(key);
  const tally = await writeLook({
    transfer,
    look: { ...look, dumped: look.dumped.filter(wanted), values: look.values.filter(wanted) },
    replace,
  });
  if (tally === null) return null;
  return copyEach({
    transfer,
    keys: big.filter((key) => !theirs.has(key)),
    replace,
    tally: { ...tally, skipped: tally.skipped + theirs.size },
  });
}

/** While a value arrives in pieces, the target itself removes what is left of it if we vanish. */
const SAFETY = 15 * 60_000;

/**
 * Copies one big key into a temporary one at the target, which then takes its name. A key that changes meanwhile comes
 * out mixed; the tracker reports it and it is copied again. Returns null when the signal ended it.
 */
export async function copyInPieces(options: {
  transfer: Transfer;
  key: Buffer;
  replace: boolean;
}): Promise<CopyCounts | null> {
  const { transfer, key, replace } = options;
  const { source, target } = transfer.pair;
  for (let attempt = 1; ; attempt += 1) {
    const part = Buffer.from(PART_PREFIX + randomBytes(12).toString('hex'));
    try {
      const type = await keyType({ session: source, key });
      if (type === null) return { ...NOTHING, gone: 1 };
      if (!isReadable(type)) {
        // A module's type has no commands that we know: in one piece then, however big.
        const look = sorted(await dumpKeys({ session: source, keys: [key] }));
        return await writeLook({ transfer, look, replace });
      }
      if (type === 'stream') transfer.tracker?.watch(key);
      const bytes = await writePieces({ transfer, key, type, part });
      if (bytes === null) return null;
      return await giveName({ transfer, key, part, replace, bytes });
    } catch (error) {
      if (!(error instanceof KeyChanged)) throw error;
      if (attempt === ATTEMPTS) throw neverStill(source);
    } finally {
      // Whatever happened: after the renaming there is nothing of this name.
      await target.connection.call(['UNLINK', part]).catch(() => {});
    }
  }
}

async function writePieces(options: {
  transfer: Transfer;
  key: Buffer;
  type: string;
  part: Buffer;
}): Promise<number | null> {
  const { transfer, key, type, part } = options;
  const { source, target } = transfer.pair;
  const paced: Session = {
    ...source,
    all: (commands) => transfer.pace.run({ keys: 0, work: () => source.all(commands) }),
  };
  let bytes = 0;
  for await (const piece of ahead(readPieces({ session: paced, key, type }))) {
    if (transfer.signal.aborted) return null;
    const commands = writePiece({ session: target, key: part, piece, named: key });
    if (commands.length > 0) await target.all([...commands, ['PEXPIRE', part, SAFETY]]);
    bytes += sizeOf(commands);
  }
  return bytes;
}

async function giveName(options: {
  transfer: Transfer;
  key: Buffer;
  part: Buffer;
  replace: boolean;
  bytes: number;
}): Promise<CopyCounts> {
  const { transfer, key, part, replace, bytes } = options;
  const { source, target } = transfer.pair;
  const [answer] = await source.all([expiryCommand(source, key)]);
  const [expireAt = -1] = await settleExpiries({ session: source, keys: [key], answers: [asNumber(answer)] });
  if (expireAt === -2) return { ...NOTHING, gone: 1 };
  const commands: Command[] = [
    ['MULTI'],
    expireAt >= 0 ? ['PEXPIREAT', part, expireAt] : ['PERSIST', part],
    // Freed in the background; RENAME alone would free a big key while everybody waits.
    ...(replace ? [['UNLINK', key]] : []),
    replace ? ['RENAME', part, key] : ['RENAMENX', part, key],
    ...(transfer.mode === 'replace' ? [nowOurs(key)] : []),
    ['EXEC'],
  ];
  const renamed = outcome({ replies: await target.connection.pipeline(commands), at: replace ? 2 : 1 });
  // An expiry in the past removed it, as it would have at the source; so did the expiry of its last hash field.
  if (renamed instanceof ReplyError && /no such key/i.test(renamed.message))
    return { ...NOTHING, expired: 1 };
  if (renamed instanceof ReplyError)
    throw failureOf({ error: renamed, command: ['RENAME'], where: target.connection.shown });
  if (renamed === 0) return { ...NOTHING, skipped: 1 };
  return { ...NOTHING, copied: 1, inPieces: 1, bytes };
}

/** The reply to the command at a place in a transaction, or why there was no transaction. */
function outcome({ replies, at }: { replies: readonly Reply[]; at: number }): Reply {
  const exec = replies.at(-1);
  if (Array.isArray(exec)) return exec[at] ?? null;
  return replies.find((reply) => reply instanceof ReplyError) ?? null;
}

/**
 * Brings given keys of the selected databases into the state that they have at the source, deletions included. Keys that the
 * target had of its own are left alone ("skip"), or not deleted ("replace").
 */
export async function followKeys(options: {
  transfer: Transfer;
  keys: readonly Buffer[];
  big: readonly Buffer[];
}): Promise<{
  tally: CopyCounts;
  deleted: number;
  /** The keys that were looked at, and what the source had of them where DUMP told, for whoever wants to verify it. */
  followed: Buffer[];
  dumped: DumpedKey[] | null;
  own: ReadonlySet<Buffer>;
}> {
  const { transfer, big } = options;
  const { target } = transfer.pair;
  const { mode } = transfer;
  const own = await areOwn({ target, keys: [...options.keys, ...big], mode });
  const isOwn = new Set([...options.keys, ...big].filter((_, i) => own[i]));
  const wanted = (key: Buffer): boolean => mode !== 'skip' || !isOwn.has(key);

  const keys = options.keys.filter(wanted);
  const look =
    keys.length > 0
      ? await transfer.pace.run({ keys: keys.length, work: () => lookAt({ transfer, keys }) })
      : { dumped: [], values: [], gone: [] };
  const gone = [...look.gone];
  let tally = (await writeLook({ transfer, look, replace: true })) ?? NOTHING;
  for (const key of big.filter(wanted)) {
    const one = await copyInPieces({ transfer, key, replace: true });
    if (one === null) break;
    tally = add(tally, one);
    if (one.gone > 0 || one.expired > 0) gone.push(key);
  }
  const removable = gone.filter((key) => !isOwn.has(key));
  const deleted = removable.length > 0 ? asNumber((await target.all([['UNLINK', ...removable]]))[0]) : 0;
  const absent = look.gone.map((key): DumpedKey => ({ key, payload: null, plain: false, expireAt: NO_KEY }));
  const dumped = transfer.way === 'dump' ? [...look.dumped, ...absent] : null;
  return { tally, deleted, followed: keys, dumped, own: isOwn };
}

/**
 * Keys by value: read and written by the commands of their type, for a target that doesn't read the source's format.
 *
 * Reader and writer of each type are those of pieces.ts. Here many keys go through them side by side, over one connection: what
 * they ask for in one turn goes out as one pipeline. A key comes into being at the target in one transaction, so nobody ever
 * sees half of it.
 */
import { randomBytes } from 'node:crypto';
import { FerryError } from '../errors.js';
import { nowOurs, PART_PREFIX } from './ledger.js';
import type { Piece } from './piece.js';
import { isReadable, keyType, readPieces, writePiece } from './pieces.js';
import { asNumber, ReplyError, type Command, type Reply } from './resp.js';
import { KeyChanged, throwFirst, type Session } from './session.js';
import { NOTHING, type CopyCounts, type Transfer } from './transfer.js';
import { expiryCommand, NO_EXPIRY, NO_KEY, settleExpiries } from './ttl.js';

export interface ReadValue {
  key: Buffer;
  type: string;
  pieces: Piece[];
  /** Milliseconds since 1970, or NO_EXPIRY. */
  expireAt: number;
}

/** More would be a key that is never still; the tracker has it, and the last pass is made while nobody writes. */
export const ATTEMPTS = 5;

export function neverStill(session: Session): FerryError {
  return new FerryError(
    'Unreachable',
    `${session.connection.shown}: a key was replaced ${ATTEMPTS} times while it was read`,
  );
}

/** A session whose callers, working side by side, share their way to the server: one pipeline a turn for all of them. */
export function sideBySide(session: Session): Session {
  interface Asked {
    commands: readonly Command[];
    resolve: (replies: Reply[]) => void;
    reject: (reason: unknown) => void;
  }
  let turn: Asked[] = [];

  async function send(): Promise<void> {
    const asked = turn;
    turn = [];
    try {
      const replies = await session.connection.pipeline(asked.flatMap(({ commands }) => commands));
      let at = 0;
      for (const { commands, resolve } of asked) resolve(replies.slice(at, (at += commands.length)));
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
  }

  return {
    ...session,
    async all(commands) {
      const replies = await new Promise<Reply[]>((resolve, reject) => {
        // After whoever else has something to ask in this turn.
        if (turn.length === 0) process.nextTick(() => void send());
        turn.push({ commands, resolve, reject });
      });
      throwFirst({ replies, commands, connection: session.connection });
      return replies;
    },
  };
}

export interface ReadValues {
  values: ReadValue[];
  /** Not there, or not any more. */
  gone: Buffer[];
  /** Of types that have no commands that we know, as those of modules: only DUMP carries them. */
  opaque: Buffer[];
}

/** A value as it was read, and what the server said of its expiry right after. */
type Unsettled = Omit<ReadValue, 'expireAt'> & { answer: number };

/** Reads small keys whole: the caller sees to it that they fit into memory together. */
export async function readValues({
  session,
  keys,
}: {
  session: Session;
  keys: readonly Buffer[];
}): Promise<ReadValues> {
  const joint = sideBySide(session);
  const read = (await Promise.all(keys.map((key) => readOne({ session: joint, key })))).flat();
  const times = await settleExpiries({
    session,
    keys: read.map(({ key }) => key),
    answers: read.map(({ answer }) => answer),
  });
  const values: ReadValue[] = [];
  const opaque: Buffer[] = [];
  read.forEach(({ key, type, pieces }, i) => {
    const expireAt = times[i] ?? NO_EXPIRY;
    // What is not there now may have gone while it was read.
    if (expireAt === NO_KEY) return;
    if (!isReadable(type)) opaque.push(key);
    else if (pieces.length > 0) values.push({ key, type, pieces, expireAt });
  });
  const found = new Set([...values.map(({ key }) => key), ...opaque]);
  return { values, opaque, gone: keys.filter((key) => !found.has(key)) };
}

/** Nothing when the key is not there. */
async function readOne(read: { session: Session; key: Buffer }): Promise<Unsettled[]> {
  const { session, key } = read;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const type = await keyType(read);
      if (type === null) return [];
      const pieces: Piece[] = [];
      if (isReadable(type)) for await (const piece of readPieces({ session, key, type })) pieces.push(piece);
      const [answer] = await session.all([expiryCommand(session, key)]);
      return [{ key, type, pieces, answer: asNumber(answer) }];
    } catch (error) {
      if (!(error instanceof KeyChanged)) throw error;
      if (attempt === ATTEMPTS) throw neverStill(session);
    }
  }
}

/** Writes values, each in one transaction. Without `replace`, a key that is there is left alone. */
export async function writeValues(options: {
  transfer: Transfer;
  values: readonly ReadValue[];
  replace: boolean;
}): Promise<{
  tally: CopyCounts;
  /** The target refused a part of these: nothing is left of them there. */
  refused: Buffer[];
}> {
  const { transfer, values, replace } = options;
  const { target } = transfer.pair;
  const orders = values.map((value) => order({ transfer, value, replace }));
  const replies = await target.connection.pipeline(orders.flat());
  const now = Date.now();
  const tally = { ...NOTHING };
  const refused: Buffer[] = [];
  let at = 0;
  for (const [i, { key, type, expireAt }] of values.entries()) {
    if (type === 'stream') transfer.tracker?.watch(key);
    const commands = orders[i] ?? [];
    const answers = replies.slice(at, (at += commands.length));
    const outcome = outcomeOf({ commands, answers, target });
    if (outcome === 'taken') tally.skipped += 1;
    else if (outcome === 'refused') refused.push(key);
    else if (expireAt >= 0 && expireAt <= now) tally.expired += 1;
    else {
      tally.copied += 1;
      tally.bytes += sizeOf(commands);
    }
  }
  if (refused.length > 0) await target.all([['UNLINK', ...refused]]);
  return { tally, refused };
}

/** The commands that bring a value into being, at once. */
function order(options: { transfer: Transfer; value: ReadValue; replace: boolean }): Command[] {
  const { transfer, value, replace } = options;
  const { target } = transfer.pair;
  const { key, pieces, expireAt } = value;
  const noted = transfer.mode === 'replace' ? [nowOurs(key)] : [];
  const [only, more] = pieces;
  const whole = only?.type === 'string' && more === undefined && (expireAt < 0 || target.setExpiry);
  if (whole && noted.length === 0)
    return [
      ['SET', key, only.bytes, ...(expireAt < 0 ? [] : ['PXAT', expireAt]), ...(replace ? [] : ['NX'])],
    ];
  const name = replace ? key : Buffer.from(PART_PREFIX + randomBytes(12).toString('hex'));
  return [
    ['MULTI'],
    ...(replace ? [['UNLINK', key]] : []),
    ...pieces.flatMap((piece) => writePiece({ session: target, key: name, piece, named: key })),
    ...(expireAt < 0 ? [] : [['PEXPIREAT', name, expireAt]]),
    // Without RENAME it could not be told whether somebody else has taken the name.
    ...(replace
      ? []
      : [
          ['RENAMENX', name, key],
          ['UNLINK', name],
        ]),
    ...noted,
    ['EXEC'],
  ];
}

function outcomeOf(options: {
  commands: readonly Command[];
  answers: readonly Reply[];
  target: Session;
}): 'written' | 'taken' | 'refused' {
  const { commands, answers, target } = options;
  const last = answers.at(-1) ?? null;
  if (!Array.isArray(last)) {
    // Of a transaction that was not run the first refusal says why.
    throwFirst({ replies: answers, commands, connection: target.connection });
    return last === null ? 'taken' : 'written';
  }
  const place = commands.findIndex(([verb]) => verb === 'RENAMENX') - 1;
  const renamed = place < 0 ? null : last[place];
  if (renamed === 0) return 'taken';
  // Its time had come, so there was nothing left to rename.
  const failed = last.some((reply) => reply instanceof ReplyError && reply !== renamed);
  return failed ? 'refused' : 'written';
}

export function sizeOf(commands: readonly Command[]): number {
  let bytes = 0;
  for (const command of commands)
    for (const argument of command) if (Buffer.isBuffer(argument)) bytes += argument.length;
  return bytes;
}

/** Whether keys are equal on both sides: by their serialized form where that suffices, else by value. */
import { KeyChanged, type Pair, type Session } from './session.js';
import type { DifferenceKind } from './difference.js';
import { createDigest, type Digest } from './digest.js';
import { readStreamState } from './pieces-stream.js';
import { isReadable, keyType, readPieces } from './pieces.js';
import { asNumber, type Command } from './resp.js';
import { dumpKeys, sameBody, type DumpedKey } from './restore.js';
import { expiryCommand, milliseconds, NO_KEY, settleExpiries } from './ttl.js';
import { digestVectors, VECTOR_SET } from './vectors.js';

/** How one key stands at the target; null: equal. */
export type Verdict = Exclude<DifferenceKind, 'extra'> | null;

/** By value, so many at once: enough to fill a pipeline, few enough that small pieces stay small. */
const AT_ONCE = 64;

/** Verdicts about keys read from the source. A key that the source doesn't have must not be at the target either. */
export async function judgeKeys(options: {
  pair: Pair;
  atSource: readonly DumpedKey[];
  atTarget: readonly DumpedKey[];
}): Promise<(DifferenceKind | null)[]> {
  const { pair, atSource, atTarget } = options;
  const verdicts: (DifferenceKind | null)[] = atSource.map(() => null);
  const byValue: number[] = [];
  const clocks: number[] = [];
  atSource.forEach((source, i) => {
    const target = atTarget[i];
    if (!target) return;
    if (source.payload === null || target.payload === null) {
      if (source.payload === target.payload) return;
      verdicts[i] = source.payload === null ? 'extra' : 'missing';
      if (Math.max(source.expireAt, target.expireAt) >= 0) clocks.push(i);
    } else if (!sameBody(source, target)) byValue.push(i);
    else if (source.expireAt !== target.expireAt) verdicts[i] = 'ttl';
  });
  for (let from = 0; from < byValue.length; from += AT_ONCE) {
    await Promise.all(
      byValue.slice(from, from + AT_ONCE).map(async (i) => {
        const source = atSource[i];
        const target = atTarget[i];
        if (!source || !target) return;
        const unequal = await judgeByValue({ pair, key: source.key });
        verdicts[i] = unequal.verdict ?? (source.expireAt === target.expireAt ? null : 'ttl');
      }),
    );
  }
  await excuseExpired({ pair, atSource, atTarget, verdicts, indexes: clocks });
  return verdicts;
}

/** A key whose time has come by one side's clock but not yet by the other's is no difference. */
async function excuseExpired(options: {
  pair: Pair;
  atSource: readonly DumpedKey[];
  atTarget: readonly DumpedKey[];
  verdicts: (DifferenceKind | null)[];
  indexes: readonly number[];
}): Promise<void> {
  const { pair, atSource, atTarget, verdicts, indexes } = options;
  if (indexes.length === 0) return;
  const [[sourceTime], [targetTime]] = await Promise.all([
    pair.source.all([['TIME']]),
    pair.target.all([['TIME']]),
  ]);
  for (const i of indexes) {
    const expireAt = verdicts[i] === 'missing' ? atSource[i]?.expireAt : atTarget[i]?.expireAt;
    const now = milliseconds(verdicts[i] === 'missing' ? targetTime : sourceTime);
    if (expireAt !== undefined && expireAt >= 0 && expireAt <= now) verdicts[i] = null;
  }
}

interface Judged {
  verdict: Verdict;
  /** Of the source's value. */
  digest: Digest | null;
  /** At the source; null when it isn't there. */
  type: string | null;
}

/** Reads both values in step, in pieces, and keeps no more of them than a digest. Says nothing of the expiry. */
export async function judgeByValue({ pair, key }: { pair: Pair; key: Buffer }): Promise<Judged> {
  const { source, target } = pair;
  try {
    const [sourceType, targetType] = await Promise.all([
      keyType({ session: source, key }),
      keyType({ session: target, key }),
    ]);
    const type = sourceType;
    if (sourceType === null) return { verdict: null, digest: null, type };
    if (targetType === null) return { verdict: 'missing', digest: null, type };
    if (sourceType !== targetType) return { verdict: 'type', digest: null, type };
    // Of a module's type nothing is known but its serialized form, which a newer module may write otherwise.
    if (!isReadable(sourceType) && sourceType !== VECTOR_SET)
      return { verdict: (await sameDump({ pair, key })) ? null : 'value', digest: null, type };
    const [a, b] = await Promise.all([
      digestValue({ session: source, key, type: sourceType }),
      digestValue({ session: target, key, type: targetType }),
    ]);
    return { verdict: a.equals(b) ? null : 'value', digest: a, type };
  } catch (error) {
    // Whoever asks looks again.
    if (error instanceof KeyChanged) return { verdict: 'value', digest: null, type: '' };
    throw error;
  }
}

/**
 * Whether a stream's groups and counters are the same on both sides. Its entries aren't looked at: changes of those are
 * reported.
 */
export async function sameStreamState({ pair, key }: { pair: Pair; key: Buffer }): Promise<boolean> {
  try {
    const [a, b] = await Promise.all(
      [pair.source, pair.target].map(async (session) => {
        const digest = createDigest('stream');
        for await (const piece of readStreamState({ session, key })) digest.add(piece);
        return digest;
      }),
    );
    return a !== undefined && b !== undefined && a.equals(b);
  } catch (error) {
    if (error instanceof KeyChanged) return false;
    throw error;
  }
}

async function sameDump({ pair, key }: { pair: Pair; key: Buffer }): Promise<boolean> {
  const [[a], [b]] = await Promise.all([
    dumpKeys({ session: pair.source, keys: [key] }),
    dumpKeys({ session: pair.target, keys: [key] }),
  ]);
  return a !== undefined && b !== undefined && sameBody(a, b);
}

async function digestValue({
  session,
  key,
  type,
}: {
  session: Session;
  key: Buffer;
  type: string;
}): Promise<Digest> {
  if (type === VECTOR_SET) return digestVectors({ session, key });
  const digest = createDigest(type);
  for await (const piece of readPieces({ session, key, type })) digest.add(piece);
  return digest;
}

/** Verdict about one big key, expiry included. */
export async function judgeBigKey({
  pair,
  key,
}: {
  pair: Pair;
  key: Buffer;
}): Promise<Omit<Judged, 'verdict'> & { verdict: DifferenceKind | null; expireAt: number }> {
  const { verdict, digest, type } = await judgeByValue({ pair, key });
  const [source, target] = await Promise.all([expiryOf(pair.source, key), expiryOf(pair.target, key)]);
  if (source === NO_KEY)
    return { verdict: target === NO_KEY ? null : 'extra', digest: null, type: null, expireAt: source };
  if (target === NO_KEY) return { verdict: 'missing', digest, type, expireAt: source };
  return { verdict: verdict ?? (source === target ? null : 'ttl'), digest, type, expireAt: source };
}

async function expiryOf(session: Session, key: Buffer): Promise<number> {
  const command: Command = expiryCommand(session, key);
  const [answer] = await session.all([command]);
  const [time = -1] = await settleExpiries({ session, keys: [key], answers: [asNumber(answer)] });
  return time;
}

/**
 * Copies the keys that changed since tracking began: in shrinking passes while the application writes, and for the last
 * time while nobody does.
 */
import type { DatabaseMap, ServerAddress } from './address.js';
import { printable, type Difference } from './difference.js';
import { judgeBigKey, judgeKeys, sameStreamState } from './equal.js';
import { compileGlob } from './glob.js';
import { keyspaceIn, parseInfo, type Keyspace } from './info.js';
import { followKeys } from './keys.js';
import { UNHURRIED } from './rate.js';
import { asText, ReplyError, type Connection } from './resp.js';
import { dumpKeys } from './restore.js';
import { cut, keySizes } from './scan.js';
import { endingGently, openPair, type Pair, type Session } from './session.js';
import type { Tracker } from './tracker.js';
import type { TargetKeys, Transfer, Way } from './transfer.js';

export interface ChangedOptions {
  /** An open connection is used and left open: opening one costs time that the last pass hasn't got. */
  source: ServerAddress | Connection;
  target: ServerAddress | Connection;
  databases: DatabaseMap;
  match: string;
  ifTargetHasKeys: TargetKeys;
  /** Default "dump". */
  way?: Way | undefined;
  bigKey: number;
  tracker: Tracker;
  /** Also copies the streams whose changes the server doesn't all report. For the last pass. */
  watched: boolean;
  /** Compares each key after copying it. Meaningful while nobody writes. */
  verify: boolean;
  /** Asked after each batch; true ends the pass although keys are pending. */
  until?: (() => boolean) | undefined;
  /** Milliseconds since 1970 after which no further batch is begun. */
  deadline?: number | undefined;
  name?: string | undefined;
  /** Asked once connected, before anything is written; throws when this attempt has no right to write any more. */
  confirm?: (() => Promise<void>) | undefined;
  signal: AbortSignal;
}

export interface ChangedCounts {
  /** Names looked at (each in every mapped database). */
  looked: number;
  copied: number;
  inPieces: number;
  bytes: number;
  deleted: number;
  /** Compared after copying and equal, in each database; where a key is in neither, that too. */
  verified: number;
}

export interface ChangedResult {
  /** False when deadline, `until` or signal ended it, or the tracker lost changes. */
  done: boolean;
  /** Names still pending. */
  pending: number;
  lost: string | null;
  counts: ChangedCounts;
  different: number;
  /** At most 20. */
  samples: Difference[];
}

/** Names that are looked at at once. */
export const BATCH = 1_000;
const SAMPLES = 20;

/**
 * What is taken out of the tracker but not acknowledged by the target goes back into it, however this ends.
 *
 * Not at the same time as `copyAll`, which could then write what it read before the change over what is written here.
 */
export async function copyChanged(options: ChangedOptions): Promise<ChangedResult> {
  const {
    databases,
    ifTargetHasKeys: mode,
    way = 'dump',
    bigKey,
    tracker,
    verify,
    until,
    deadline,
    name = 'ferry',
    signal,
  } = options;
  const glob = compileGlob(options.match);
  const counts: ChangedCounts = { looked: 0, copied: 0, inPieces: 0, bytes: 0, deleted: 0, verified: 0 };
  const samples: Difference[] = [];
  const unreported = new Set<string>();
  let different = 0;
  const result = (done: boolean): ChangedResult => ({
    done: done && tracker.lost() === null,
    pending: tracker.pending(),
    lost: tracker.lost(),
    counts,
    different,
    samples,
  });

  async function follow(transfer: Transfer, keys: readonly Buffer[]): Promise<void> {
    const { source, target } = transfer.pair;
    counts.looked += keys.length;
    const used = await databasesInUse({ pair: transfer.pair, databases });
    // Where both sides have nothing, they have nothing of these.
    if (verify) counts.verified += keys.length * (databases.length - used.length);
    for (const [from, to] of used) {
      await source.select(from);
      await target.select(to);
      const sizes = await keySizes({ session: source, keys });
      tracker.weights.note({ keys, sizes });
      for (const group of cut({ keys, sizes, bigKey })) {
        const big: Buffer[] = [];
        // Of these only what isn't reported can have changed, and to look at that is quick.
        for (const key of group.big) {
          const untold = unreported.has(`${from} ${key.toString('latin1')}`);
          // Taken again later it was reported.
          unreported.delete(`${from} ${key.toString('latin1')}`);
          if (untold && (await sameStreamState({ pair: transfer.pair, key })))
            counts.verified += verify ? 1 : 0;
          else big.push(key);
        }
        const { tally, deleted, followed, own, ...read } = await followKeys({
          transfer,
          keys: group.keys,
          big,
        });
        counts.copied += tally.copied;
        counts.inPieces += tally.inPieces;
        counts.bytes += tally.bytes;
        counts.deleted += deleted;
        if (!verify || signal.aborted) continue;
        const atSource = read.dumped ?? (await dumpKeys({ session: source, keys: followed }));
        const atTarget = await dumpKeys({ session: target, keys: atSource.map(({ key }) => key) });
        const verdicts = await judgeKeys({ pair: transfer.pair, atSource, atTarget });
        const judged = atSource.map(({ key }, i) => ({ key, verdict: verdicts[i] ?? null }));
        for (const key of big) {
          if (mode !== 'skip' || !own.has(key))
            judged.push({ key, verdict: (await judgeBigKey({ pair: transfer.pair, key })).verdict });
        }
        for (const { key, verdict } of judged) {
          // Keys that the target had of its own outlive a deletion at the source.
          if (verdict === null || (verdict === 'extra' && own.has(key))) counts.verified += 1;
          else {
            different += 1;
            if (samples.length < SAMPLES)
              samples.push({ database: from, key: printable(key), what: verdict });
          }
        }
      }
    }
  }

  async function work(hard: AbortSignal): Promise<ChangedResult> {
    const pair = await openPair({
      source: options.source,
      target: options.target,
      name,
      signal: hard,
      confirm: options.confirm,
    });
    try {
      const transfer: Transfer = { pair, way, mode, tracker, pace: UNHURRIED, signal };
      if (options.watched) {
        const quiet = tracker.watched().filter((key) => !tracker.has(key));
        for (const key of quiet)
          for (const [from] of databases) unreported.add(`${from} ${key.toString('latin1')}`);
        tracker.add(quiet);
      }
      while (tracker.pending() > 0 && tracker.lost() === null) {
        if (signal.aborted || (deadline !== undefined && Date.now() >= deadline)) return result(false);
        const keys = tracker.take(BATCH).filter((key) => glob.matches(key));
        try {
          await follow(transfer, keys);
        } catch (error) {
          tracker.add(keys);
          throw error;
        }
        if (signal.aborted) tracker.add(keys);
        if (until?.()) return result(tracker.pending() === 0);
      }
      return result(!signal.aborted);
    } finally {
      pair.close();
    }
  }

  return endingGently({ signal, work, stopped: () => result(false) });
}

/**
 * Those that hold anything on one of the sides. Nobody tells which database a changed key is in, and a server has sixteen: to look in each of
 * them is most of the work. Asked after the keys were told of, so that what was written before is counted; what is written later is told of later.
 * All of them, where a side may not be asked, or says of none that it holds anything.
 */
async function databasesInUse(on: { pair: Pair; databases: DatabaseMap }): Promise<DatabaseMap> {
  const { pair, databases } = on;
  if (databases.length === 1) return databases;
  const [source, target] = await Promise.all([pair.source, pair.target].map(keyspaceOf));
  if (!source || !target) return databases;
  return databases.filter(([from, to]) => source[from] !== undefined || target[to] !== undefined);
}

async function keyspaceOf({ connection }: Session): Promise<Keyspace | null> {
  const [reply] = await connection.pipeline([['INFO', 'keyspace']]);
  if (reply instanceof ReplyError) return null;
  const keyspace = keyspaceIn(parseInfo(asText(reply)));
  return Object.keys(keyspace).length > 0 ? keyspace : null;
}

/**
 * Compares the mapped databases key by key, in both directions: the source's keys for what is missing or differs, then
 * the target's for what is extra, unless their numbers show that there is nothing. Expiry is compared to the millisecond.
 *
 * Writes may go on meanwhile. So a key that differs is looked at again before it counts, and where a tracker tells that
 * it was written to, it is copied again first.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseMap } from './address.js';
import { nothingExtra, takeCensus, type Census } from './census.js';
import { END } from './copy.js';
import { printable, type Difference, type DifferenceKind } from './difference.js';
import { addHash, hexOf, sumsOf, type Digest } from './digest.js';
import { judgeBigKey, judgeKeys } from './equal.js';
import { followKeys } from './keys.js';
import { parseInfo } from './info.js';
import { areOwn } from './ledger.js';
import { UNHURRIED } from './rate.js';
import { asList, asNumber, asText } from './resp.js';
import { dumpKeys, fingerprint, maybeStream, type DumpedKey } from './restore.js';
import { ahead, cut, groupBySize, keySizes, overlapped, scanForeignKeys, type KeyGroup } from './scan.js';
import { countKeys, type Pair, type Session } from './session.js';
import type { Tracker } from './tracker.js';
import { onBothSides, type Pass, type TargetKeys, type Transfer, type Way } from './transfer.js';

export interface CompareCounts {
  keysCompared: number;
  /** At the source, not at the target. */
  missing: number;
  /** At the target, not at the source. */
  extra: number;
  type: number;
  value: number;
  ttl: number;
  /** The target's own keys ("replace", "skip"): not at the source, or left as they were. No difference. */
  own: number;
  /** Written to at the source each time they were looked at: neither equal nor different; the last pass decides. */
  moving: number;
  /** Of the differences, those made good (`repair`). */
  repaired: number;
}

export interface DatabaseCounts extends CompareCounts {
  source: number;
  target: number;
  digest: string;
}

export interface CompareCheckpoint {
  database: number;
  /** Which side is being scanned. */
  side: 'source' | 'target';
  /** run_id of that side. */
  runId: string;
  /** SCAN's cursor; "end" when everything was compared. */
  cursor: string;
  perDatabase: DatabaseCounts[];
  samples: Difference[];
}

export interface CompareOptions extends Pass {
  databases: DatabaseMap;
  match: string;
  ifTargetHasKeys: TargetKeys;
  /** How what differs is copied again. Default "dump". */
  way?: Way | undefined;
  /**
   * Reconcile: copy again what differs, delete what is extra and not the target's own. "all but extra" deletes nothing that wasn't
   * seen to be deleted at the source.
   */
  repair: boolean | 'all but extra';
  bigKey: number;
  checkpoint?: CompareCheckpoint | undefined;
  /** The target is a replica of the source: what differs is waited for, and never written. */
  replicated?: boolean | undefined;
  /** With it, keys being written to meanwhile are copied again before they are judged. Told of streams. */
  tracker?: Tracker | undefined;
  onProgress?: ((progress: CompareProgress, checkpoint: CompareCheckpoint) => void) | undefined;
}

export interface CompareProgress extends CompareCounts {
  database: number;
  keysInSource: number;
}

export interface CompareResult extends CompareCounts {
  done: boolean;
  checkpoint: CompareCheckpoint;
  perDatabase: DatabaseCounts[];
  /** At most 20, never values. */
  samples: Difference[];
  /**
   * Fingerprint of the source's keys as they were compared, whatever their order: names, expiry and the server's own
   * checksum of each value. Two equal ones of the same running server mean that nothing was written in between.
   */
  digest: string;
}

const SAMPLES = 20;
/** How often a key that differs is looked at before it counts. */
const LOOKS = 5;
/** Milliseconds before the second look; doubled for each further one. */
const FIRST_WAIT = 10;

const NO_COUNTS: CompareCounts = {
  keysCompared: 0,
  missing: 0,
  extra: 0,
  type: 0,
  value: 0,
  ttl: 0,
  own: 0,
  moving: 0,
  repaired: 0,
};
const NO_DIGEST = hexOf(new Uint32Array(4));

/** Aborting returns `{done: false}`; it never throws for it. */
export async function compareAll(options: CompareOptions): Promise<CompareResult> {
  const {
    databases,
    match,
    ifTargetHasKeys: mode,
    way = 'dump',
    bigKey,
    tracker,
    signal,
    onProgress,
  } = options;
  let checkpoint: CompareCheckpoint = options.checkpoint ?? {
    database: databases[0]?.[0] ?? 0,
    side: 'source',
    runId: '',
    cursor: databases.length > 0 ? '0' : END,
    perDatabase: databases.map(([source, target]) => ({ source, target, ...NO_COUNTS, digest: NO_DIGEST })),
    samples: [],
  };
  const result = (done: boolean): CompareResult => {
    const { perDatabase, samples } = checkpoint;
    const digest = addDigests(perDatabase.map((database) => database.digest));
    return { done, checkpoint, perDatabase, samples, digest, ...total(perDatabase) };
  };
  if (checkpoint.cursor === END) return result(true);
  /** Keys that were not equal at first sight. */
  let doubts = 0;

  async function work({ pair, pace }: Pick<Transfer, 'pair' | 'pace'>): Promise<CompareResult> {
    const sizes = await countKeys({ session: pair.source, databases: databases.map(([from]) => from) });
    const keysInSource = sizes.reduce((sum, size) => sum + size, 0);
    const transfer: Transfer = { pair, way, mode, tracker, pace: UNHURRIED, signal };
    const first = Math.max(
      0,
      databases.findIndex(([from]) => from === checkpoint.database),
    );
    for (const [i, [from, to]] of databases.entries()) {
      if (i < first) continue;
      await pair.source.select(from);
      await pair.target.select(to);
      if (
        checkpoint.database === from &&
        checkpoint.cursor !== '0' &&
        !sameLife(pair[checkpoint.side].runId)
      ) {
        checkpoint = startedOver({ checkpoint, index: i });
      }
      let census: Census | null = null;
      const doubtsBefore = doubts;
      for (const side of ['source', 'target'] as const) {
        if (side === 'source' && checkpoint.database === from && checkpoint.side === 'target') continue;
        const begun = checkpoint.database === from && checkpoint.side === side;
        const found = checkpoint.perDatabase[i]?.keysCompared ?? 0;
        // Keys of others at the target, or a pattern: numbers say nothing then.
        const fromTheStart = side === 'source' && (!begun || checkpoint.cursor === '0');
        if (fromTheStart && match === '*' && mode === 'refuse') census = await takeCensus(pair);
        else if (census && tracker && doubts === doubtsBefore) {
          if (await nothingExtra({ before: census, pair, found, tracker })) {
            checkpoint = { ...checkpoint, ...placeAfter({ databases, index: i, side, next: '0' }) };
            continue;
          }
        }
        checkpoint = {
          ...checkpoint,
          database: from,
          side,
          runId: pair[side].runId,
          cursor: begun ? checkpoint.cursor : '0',
        };
        const batches =
          side === 'source'
            ? compareSource({ transfer, pace, from })
            : compareTarget({ transfer, pace, from });
        for await (const { findings, next } of batches) {
          if (signal.aborted) return result(false);
          checkpoint = {
            ...checkpoint,
            ...record({ checkpoint, index: i, findings }),
            ...placeAfter({ databases, index: i, side, next }),
          };
          onProgress?.({ ...total(checkpoint.perDatabase), database: from, keysInSource }, checkpoint);
        }
        if (signal.aborted) return result(false);
      }
    }
    return result(true);
  }

  /** A cursor means nothing once its server was restarted. */
  const sameLife = (runId: string): boolean => checkpoint.runId === runId && runId !== '';

  async function* compareSource(on: {
    transfer: Transfer;
    pace: Transfer['pace'];
    from: number;
  }): AsyncGenerator<{ findings: Findings; next: string }> {
    const { transfer, pace, from } = on;
    const { source, target } = transfer.pair;
    const batches = ahead(scanForeignKeys({ session: source, match, cursor: checkpoint.cursor, pace }));
    const groups = groupBySize({ batches, bigKey, weigh });
    let findings = nothingFound();
    let suspects: Suspect[] = [];
    let settled = performance.now();
    const read = overlapped({ items: ahead(groups), work: readBoth, atOnce: () => pace.atOnce() });
    for await (const { group, atSource, atTarget } of ahead(read)) {
      if (signal.aborted) return;
      const verdicts = await judgeKeys({ pair: transfer.pair, atSource, atTarget });
      atSource.forEach((dumped, i) => {
        const verdict = verdicts[i] ?? null;
        const stream = maybeStream(dumped);
        if (verdict !== null) suspects.push({ key: dumped.key, verdict, stream });
        if (dumped.payload === null) return;
        findings.counts.keysCompared += 1;
        addHash({
          sums: findings.sums,
          parts: [from, dumped.key, dumped.expireAt, fingerprint(dumped)],
        });
        if (stream) tracker?.watch(dumped.key);
      });
      for (const key of group.big) {
        if (signal.aborted) return;
        const { verdict, digest, expireAt, type } = await judgeBigKey({ pair: transfer.pair, key });
        if (verdict !== null) suspects.push({ key, verdict, stream: type === 'stream' });
        if (type === null) continue;
        findings.counts.keysCompared += 1;
        if (type === 'stream') tracker?.watch(key);
        addHash({ sums: findings.sums, parts: [from, key, expireAt, ...sumParts(digest)] });
      }
      if (group.next === null) continue;
      // Looking again takes waiting, so it is done for many keys together; without suspects there is nothing to wait for.
      const due = group.next === '0' || suspects.length >= 256 || performance.now() - settled > 1_000;
      if (suspects.length > 0 && !due) continue;
      await settle({ transfer, suspects, from, findings });
      yield { findings, next: group.next };
      findings = nothingFound();
      suspects = [];
      settled = performance.now();
    }

    /** Asks only of keys that were not found light when they were copied, or changed since: a third less work for the source. */
    async function weigh(keys: readonly Buffer[]): Promise<number[]> {
      const known = tracker && tracker.lost() === null ? tracker : null;
      const light = (key: Buffer): boolean =>
        known !== null && known.weights.light(key) && !(known.pending() > 0 && known.has(key));
      const open = keys.filter((key) => !light(key));
      if (open.length === 0) return [];
      const asked = await pace.run({ keys: 0, work: () => keySizes({ session: source, keys: open }) });
      const sizes = new Map(open.map((key, i) => [key, asked[i] ?? 0]));
      return keys.map((key) => sizes.get(key) ?? 0);
    }

    async function readBoth(group: KeyGroup) {
      const { keys } = group;
      const [atSource, atTarget] = await Promise.all([
        pace.run({ keys: keys.length, work: () => dumpKeys({ session: source, keys }) }),
        dumpKeys({ session: target, keys }),
      ]);
      return { group, atSource, atTarget };
    }
  }

  async function* compareTarget(on: {
    transfer: Transfer;
    pace: Transfer['pace'];
    from: number;
  }): AsyncGenerator<{ findings: Findings; next: string }> {
    const { transfer, pace, from } = on;
    const { source, target } = transfer.pair;
    const batches = scanForeignKeys({
      session: target,
      match,
      cursor: checkpoint.cursor,
      pace: { ...UNHURRIED, batch: () => pace.batch() },
    });
    for await (const { keys, next } of ahead(batches)) {
      if (signal.aborted) return;
      const findings = nothingFound();
      const absent = await pace.run({ keys: keys.length, work: () => absentOf({ session: source, keys }) });
      const suspects = absent.map((key): Suspect => ({ key, verdict: 'extra', stream: false }));
      await settle({ transfer, suspects, from, findings });
      yield { findings, next };
    }
  }

  /** Looks at suspects again, a few times, and counts what they turn out to be. */
  async function settle(on: {
    transfer: Transfer;
    suspects: readonly Suspect[];
    from: number;
    findings: Findings;
  }): Promise<void> {
    const { transfer, from, findings } = on;
    const { pair } = transfer;
    const keys = on.suspects.map(({ key }) => key);
    doubts += keys.length;
    const own = await areOwn({ target: pair.target, keys, mode });
    // With "replace" an own key that the source has too is ours by now, or will be.
    const isOwn = (suspect: Suspect, i: number): boolean =>
      own[i] === true && (mode === 'skip' || suspect.verdict === 'extra');
    findings.counts.own += on.suspects.filter(isOwn).length;
    let open = on.suspects.filter((suspect, i) => !isOwn(suspect, i));
    let moving: Suspect[] = [];
    // Where much differs the verdict is clear, and patience with each key would only take long.
    const looks = checkpoint.samples.length < SAMPLES ? LOOKS : 2;
    for (let look = 1; look < looks && open.length > 0 && !signal.aborted; look += 1) {
      await sleep(FIRST_WAIT * 2 ** (look - 1), undefined, { signal }).catch(() => {});
      if (options.replicated) await caughtUp({ pair, signal });
      await tracker?.barrier();
      const claimed = tracker?.claim(open.map(({ key }) => key)) ?? [];
      const unreported = open
        .filter(({ key, stream }) => tracker && stream && !claimed.includes(key))
        .map(({ key }) => key);
      try {
        if (!options.replicated && claimed.length + unreported.length > 0)
          await followAll(transfer, [...claimed, ...unreported]);
        open = await lookAgain(transfer, open);
      } catch (error) {
        tracker?.add(claimed);
        throw error;
      }
      await tracker?.barrier();
      moving = open.filter(
        ({ key, stream }) => tracker && ((stream && !options.replicated) || tracker.has(key)),
      );
    }
    const stillMoving = new Set(moving.map(({ key }) => key));
    findings.counts.moving += stillMoving.size;
    const differing = open.filter(({ key }) => !stillMoving.has(key));
    for (const { key, verdict } of differing) {
      findings.counts[verdict] += 1;
      if (findings.samples.length < SAMPLES)
        findings.samples.push({ database: from, key: printable(key), what: verdict });
    }
    const repairable = differing.filter(
      ({ verdict }) => options.repair === true || (options.repair !== false && verdict !== 'extra'),
    );
    if (repairable.length === 0 || signal.aborted) return;
    await followAll(
      transfer,
      repairable.map(({ key }) => key),
    );
    findings.counts.repaired += repairable.length - (await lookAgain(transfer, repairable)).length;
  }

  async function followAll(transfer: Transfer, keys: readonly Buffer[]): Promise<void> {
    const sizes = await keySizes({ session: transfer.pair.source, keys });
    tracker?.weights.note({ keys, sizes });
    for (const group of cut({ keys, sizes, bigKey })) await followKeys({ transfer, ...group });
  }

  async function lookAgain(transfer: Transfer, suspects: readonly Suspect[]): Promise<Suspect[]> {
    const { pair } = transfer;
    const keys = suspects.map(({ key }) => key);
    const sizes = await keySizes({ session: pair.source, keys });
    const still: Suspect[] = [];
    for (const group of cut({ keys, sizes, bigKey })) {
      const [atSource, atTarget]: DumpedKey[][] = await Promise.all([
        dumpKeys({ session: pair.source, keys: group.keys }),
        dumpKeys({ session: pair.target, keys: group.keys }),
      ]);
      if (!atSource || !atTarget) continue;
      const verdicts = await judgeKeys({ pair, atSource, atTarget });
      group.keys.forEach((key, i) => {
        const verdict = verdicts[i] ?? null;
        const there = atSource[i];
        if (verdict !== null && there) still.push({ key, verdict, stream: maybeStream(there) });
      });
      for (const key of group.big) {
        const { verdict, type } = await judgeBigKey({ pair, key });
        if (verdict !== null) still.push({ key, verdict, stream: type === 'stream' });
      }
    }
    return still;
  }

  function record(on: {
    checkpoint: CompareCheckpoint;
    index: number;
    findings: Findings;
  }): Pick<CompareCheckpoint, 'perDatabase' | 'samples'> {
    const { index, findings } = on;
    const { perDatabase, samples } = on.checkpoint;
    return {
      perDatabase: perDatabase.map((database, i) =>
        i === index
          ? {
              ...database,
              ...total([database, findings.counts]),
              digest: addDigests([database.digest, hexOf(findings.sums)]),
            }
          : database,
      ),
      samples: [...samples, ...findings.samples].slice(0, SAMPLES),
    };
  }

  return onBothSides(options, { work, stopped: () => result(false) });
}

/** What one SCAN batch showed. Suspects are settled before it counts, so a checkpoint never holds a doubt. */
interface Findings {
  counts: CompareCounts;
  samples: Difference[];
  sums: Uint32Array;
}

function nothingFound(): Findings {
  return { counts: { ...NO_COUNTS }, samples: [], sums: new Uint32Array(4) };
}

interface Suspect {
  key: Buffer;
  verdict: DifferenceKind;
  /** Changes of its groups aren't reported. */
  stream: boolean;
}

/** Those that the server doesn't have. Mostly it has them all, and one number says so. */
async function absentOf(of: { session: Session; keys: readonly Buffer[] }): Promise<Buffer[]> {
  const { session, keys } = of;
  if (keys.length === 0) return [];
  const [found] = await session.all([['EXISTS', ...keys]]);
  if (asNumber(found) === keys.length) return [];
  const there = await session.each({ command: ['EXISTS'], keys });
  return keys.filter((_, i) => there[i] === 0);
}

/** A database is compared anew as a whole: what was counted of it doesn't count. */
function startedOver({
  checkpoint,
  index,
}: {
  checkpoint: CompareCheckpoint;
  index: number;
}): CompareCheckpoint {
  return {
    ...checkpoint,
    side: 'source',
    cursor: '0',
    perDatabase: checkpoint.perDatabase.map((database, i) =>
      i === index ? { ...database, ...NO_COUNTS, digest: NO_DIGEST } : database,
    ),
    samples: checkpoint.samples.filter(({ database }) => database !== checkpoint.database),
  };
}

/** Where the comparison stands when a batch of one side of a database is done. */
function placeAfter(options: {
  databases: DatabaseMap;
  index: number;
  side: 'source' | 'target';
  next: string;
}): Partial<CompareCheckpoint> {
  const { databases, index, side, next } = options;
  if (next !== '0') return { cursor: next };
  if (side === 'source') return { side: 'target', cursor: '0' };
  const following = databases[index + 1];
  return following ? { database: following[0], side: 'source', cursor: '0' } : { cursor: END };
}

function addDigests(digests: readonly string[]): string {
  const sums = new Uint32Array(4);
  for (const digest of digests) {
    sumsOf(digest).forEach((sum, i) => {
      sums[i] = (sums[i] ?? 0) + sum;
    });
  }
  return hexOf(sums);
}

function sumParts(digest: Digest | null): number[] {
  return digest ? [...digest.sums] : [];
}

function total(all: readonly CompareCounts[]): CompareCounts {
  const sum = { ...NO_COUNTS };
  for (const counts of all) {
    sum.keysCompared += counts.keysCompared;
    sum.missing += counts.missing;
    sum.extra += counts.extra;
    sum.type += counts.type;
    sum.value += counts.value;
    sum.ttl += counts.ttl;
    sum.own += counts.own;
    sum.moving += counts.moving;
    sum.repaired += counts.repaired;
  }
  return sum;
}

/** The longest that a replica may take to apply what its primary has written by now, in milliseconds. */
const CATCH_UP = 10_000;

/** Waits until the target, a replica, has applied all that the source has written by now. A new one is sent nothing for up to a second. */
async function caughtUp({ pair, signal }: { pair: Pair; signal: AbortSignal }): Promise<void> {
  const { source, target } = pair;
  const [info] = await source.all([['INFO', 'replication']]);
  const goal = Number(parseInfo(asText(info))['master_repl_offset'] ?? 0);
  for (const until = performance.now() + CATCH_UP; performance.now() < until && !signal.aborted;) {
    const [role] = await target.all([['ROLE']]);
    if (asNumber(asList(role)[4]) >= goal) return;
    await sleep(5, undefined, { signal }).catch(() => {});
  }
}

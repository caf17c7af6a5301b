/** Closing the source to writes, switching the applications over, and back. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Told, UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import type { Repoint } from '../inputs/repoint.js';
import { removeDump } from '../postgres/dump.js';
import { dropMark } from '../postgres/mark.js';
import { proveUnchanged, type Compared, type Proven } from '../postgres/same.js';
import {
  closeToWrites,
  connectedTo,
  endOthers,
  openToWrites,
  readOnlySetting,
  type ReadOnlySetting,
} from '../postgres/writes.js';
import {
  forgetCounts,
  hasCounts,
  rememberCounts,
  unwrittenSince,
  writtenSinceThen,
  type Written,
} from '../postgres/written.js';
import { finishRepoint, prepareRepoint, repoint } from '../repoint/index.js';
import { border, type Border } from './border.js';
import { hold, onDatabase, ours, reach, servingAt, type DatabaseSides } from './postgres-sides.js';

export interface Closing {
  sides: DatabaseSides;
  /** False: this user may not close it, and it is left alone. */
  may: boolean;
  /** What it was set to before, to be put back. */
  before: ReadOnlySetting;
}

export interface Closed {
  /** Sessions that were ended. */
  ended: number;
  /** Those that could not be. */
  stay: string[];
}

/** Nothing is written there from here on, except by a session that sets it back: that is looked for before the cutover. */
export async function closeSource(input: Closing): Promise<Closed> {
  return border(async (b) =>
    onDatabase(b, input.sides, 'source', async ({ session }) =>
      input.may ? closeToWrites(session, ours(b)) : { ended: 0, stay: [] },
    ),
  );
}

/** Undo of the above: exactly as it was. */
export async function openSource(input: Closing): Promise<UndoResult> {
  return border<UndoResult>((b) => openAgain(b, input));
}

async function openAgain(
  b: Pick<Border<never>, 'workflowId' | 'hand' | 'signal' | 'stillCurrent'>,
  { may, before, sides }: Closing,
): Promise<UndoResult> {
  if (!may) return { note: 'it was not closed' };
  return onDatabase(b, sides, 'source', async ({ session }) => {
    if ((await readOnlySetting(session)) === before) return { note: 'it takes writes as before' };
    const { ended } = await openToWrites(session, before, ours(b));
    return { note: `it takes writes again; ${ended} sessions were ended so that they notice` };
  });
}

export interface SwitchDatabases extends Closing {
  name: string;
  repoint: Repoint;
  /** Of this run; without a clean comparison nothing is switched. */
  compared: Compared;
  /** What the target's default_transaction_read_only was set to. */
  targetBefore: ReadOnlySetting;
}

export interface SwitchedDatabases {
  /** By what both sides are known to be as they were compared; null: an earlier attempt knew it. */
  proven: { source: Proven; target: Proven } | null;
  said: string;
  /** Milliseconds since 1970. */
  at: number;
}

/**
 * Proves that both sides are as they were compared, then tells the applications. From the moment that counts are kept at the target, it may
 * have been written to: whoever goes on from there only tells the applications.
 */
export async function switchDatabases(input: SwitchDatabases): Promise<SwitchedDatabases> {
  return border(async (b) => {
    const { sides, compared, name, may } = input;
    if (compared.differences > 0)
      throw new FerryError('ComparisonDiffers', 'both sides differ, so nothing is switched');
    const [from, to] = [await hold(b, sides, 'source'), await hold(b, sides, 'target')];
    try {
      const told = await hasCounts(to.session);
      const telling = {
        spec: input.repoint,
        direction: 'forward' as const,
        name,
        serving: servingAt(to.at),
        signal: b.signal,
      };
      const ready = await prepareRepoint(telling);
      try {
        let proven: SwitchedDatabases['proven'] = null;
        if (!told) {
          if (may) await closeToWrites(from.session, ours(b));
          else await endOthers(from.session, ours(b));
          await endOthers(to.session, ours(b));
          const both = {
            source: from.at,
            target: to.at,
            majors: { source: sides.source.major, target: sides.target.major },
            jobs: sides.jobs,
            utf8: sides.utf8,
            compared,
          };
          proven = {
            source: await proveUnchanged({ ...both, side: 'source' }),
            target: await proveUnchanged({ ...both, side: 'target' }),
          };
          b.signal.throwIfAborted();
          await b.stillCurrent();
          await rememberCounts(to.session, sides.target.major);
        }
        const said = await repoint({ ...telling, ready }).catch(async (error: unknown) => {
          await callBack(b, input);
          throw error;
        });
        await endOthers(from.session, ours(b));
        return { proven, said, at: Date.now() };
      } finally {
        ready.end();
      }
    } finally {
      await from.session.end();
      await to.session.end();
    }
  });
}

/**
 * Telling the applications failed, and some may have been told. Where none has written to the target yet all are told to stay; where one has,
 * nothing is done that would lose that: a person decides.
 * @throws FerryError Unclear
 */
async function callBack(
  b: Pick<Border<never>, 'workflowId' | 'hand' | 'stillCurrent'>,
  input: SwitchDatabases,
): Promise<void> {
  const { sides, targetBefore } = input;
  // Whoever asked for the rollback that cut it off waits for this.
  const whole = { ...b, signal: new AbortController().signal };
  const from = await reach(whole, sides, 'source');
  await onDatabase(whole, sides, 'target', async ({ session }) => {
    await closeToWrites(session, ours(b));
    try {
      const loses = saysWritten(await writtenSinceThen(session, sides.target.major));
      if (loses !== null)
        throw new FerryError(
          'Unclear',
          `not all applications could be told, and some have gone over to ${session.shown} already: ${loses}. A retry tells them again; a rollback says what it would lose`,
        );
      await repoint({
        spec: input.repoint,
        direction: 'back',
        name: input.name,
        serving: servingAt({ address: from.address }),
      });
      await forgetCounts(session);
    } finally {
      await openToWrites(session, targetBefore, ours(b));
    }
  });
}

export interface SwitchDatabasesBack extends Omit<SwitchDatabases, 'compared'> {
  /** Titles of steps that must not be undone once writes stay behind at the target. */
  keepSteps: string[];
  told?: Told | undefined;
}

interface Asked {
  asked: 'loss';
}

/**
 * The applications go back to the source. Harmless when they had not moved. What was written to the target since is not at the source: then
 * a person is asked first, and told what it is.
 * @throws FerryError WouldLose
 */
export async function switchDatabasesBack(input: SwitchDatabasesBack): Promise<UndoResult> {
  return border<UndoResult, Asked>(async (b) => {
    const { sides, name, may, before, targetBefore, keepSteps } = input;
    const accepted = ((b.last ?? input.told?.checkpoint) as Asked | undefined)?.asked === 'loss';
    const [from, to] = [await hold(b, sides, 'source'), await hold(b, sides, 'target')];
    try {
      if (!(await hasCounts(to.session))) return { note: 'the applications had not moved' };
      // Never two sides that take writes.
      await closeToWrites(to.session, ours(b));
      const written = await writtenSinceThen(to.session, sides.target.major);
      const loses = saysWritten(written);
      if (loses !== null && !accepted) {
        await openToWrites(to.session, targetBefore, ours(b));
        b.beat({ asked: 'loss' });
        throw new FerryError(
          'WouldLose',
          `going back loses what was written to ${to.session.shown} since the switch: ${loses}`,
        );
      }
      await repoint({
        spec: input.repoint,
        direction: 'back',
        name,
        serving: servingAt(from.at),
        signal: b.signal,
      });
      if (may) await openToWrites(from.session, before, ours(b));
      await openToWrites(to.session, targetBefore, ours(b));
      await (loses === null ? forgetCounts(to.session) : dropMark(to.session));
      if (loses === null)
        return { note: 'the applications are back; nothing had been written to the target' };
      return {
        note: `the applications are back; ${to.session.shown} keeps what was written there`,
        keep: {
          steps: keepSteps,
          because: `${to.session.shown} keeps all it holds: ${loses} since the switch`,
        },
      };
    } finally {
      await from.session.end();
      await to.session.end();
    }
  });
}

/** Null: nothing. */
function saysWritten({ rows, names }: Written): string | null {
  if (rows === 0 && names.length === 0) return null;
  const how = rows === null ? 'an unknown number of rows' : `${rows.toLocaleString('en')} rows`;
  return `${how} written${names.length > 0 ? ` (${names.join(', ')})` : ''}`;
}

/** The end of the way forward: the source is as it was, an ordinary database that nobody uses, and nothing is kept for going back. */
export async function settleDatabases(input: Closing & { repoint: Repoint; folder: string }): Promise<void> {
  return border(async (b) => {
    const { sides, repoint: spec, folder } = input;
    await openAgain(b, input);
    await onDatabase(b, sides, 'target', ({ session }) => dropMark(session));
    await finishRepoint({ spec });
    await removeDump(folder);
  });
}

export interface SoakedDatabases {
  seconds: number;
  /** Sessions at the source, the most at a time, by application or user. */
  sessions: number;
  names: string[];
  /** It was open to writes, and was closed again. */
  opened: boolean;
  /** Null: nobody knows. */
  written: boolean | null;
  /** Sessions at the target, at the last look. */
  atTarget: number;
}

const LOOK_EVERY = 2_000;

/** Watches both sides behind the switch: who stayed at the source, and whether that stays closed. */
export async function soakDatabases(
  input: Closing & { compared: Compared; forMs: number; checkpoint?: SoakedDatabases | undefined },
): Promise<{ done: boolean; checkpoint: SoakedDatabases }> {
  return border<{ done: boolean; checkpoint: SoakedDatabases }, SoakedDatabases>(async (b) => {
    const { sides, may, compared, forMs } = input;
    const earlier = b.last ?? input.checkpoint;
    const [from, to] = [await hold(b, sides, 'source'), await hold(b, sides, 'target')];
    try {
      const began = Date.now() - (earlier?.seconds ?? 0) * 1_000;
      const seen: SoakedDatabases = earlier ?? {
        seconds: 0,
        sessions: 0,
        names: [],
        opened: false,
        written: false,
        atTarget: 0,
      };
      for (;;) {
        const there = await connectedTo(from.session, ours(b));
        seen.sessions = Math.max(seen.sessions, there.sessions);
        seen.names = [...new Set([...seen.names, ...there.names])].slice(0, 20);
        seen.atTarget = (await connectedTo(to.session, ours(b))).sessions;
        if (may && (await readOnlySetting(from.session)) !== 'on') {
          seen.opened = true;
          await closeToWrites(from.session, ours(b));
        }
        seen.seconds = Math.round((Date.now() - began) / 1_000);
        b.beat(seen);
        b.show({
          step: 'Soak',
          done: seen.seconds,
          total: Math.round(forMs / 1_000),
          unit: 'seconds',
          counts: { sessionsAtSource: there.sessions, sessionsAtTarget: seen.atTarget },
        });
        const left = began + forMs - Date.now();
        if (left <= 0 || b.signal.aborted) break;
        await sleep(Math.min(LOOK_EVERY, left), undefined, { signal: b.signal }).catch(() => {});
      }
      if (!b.signal.aborted) {
        const proof = await unwrittenSince(from.session, compared.source.moment, sides.source.major);
        seen.written = proof === 'unknown' ? (sides.source.major < 15 ? null : true) : false;
      }
      return { done: !b.signal.aborted, checkpoint: seen };
    } catch (error) {
      // What an abort broke: it is gone on with from here.
      if (b.signal.aborted && earlier) return { done: false, checkpoint: earlier };
      throw error;
    } finally {
      await from.session.end();
      await to.session.end();
    }
  });
}

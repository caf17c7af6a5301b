/**
 * The steps by which a server takes over from the one that it follows, and is followed by it: what every strategy that switches so
 * shares. Their titles stand with the strategies, which read like their runbooks.
 */
import type { Mended, MendInput } from '../activities/mending.js';
import type { CompareOutcome } from '../activities/moving.js';
import type { Couple, CoupleFacts, HandOverOutcome } from '../activities/replicating.js';
import type { Sides } from '../activities/sides.js';
import type { Baseline } from '../activities/soaking.js';
import type { Check } from '../contract.js';
import { milliseconds } from '../inputs/refs.js';
import type { SwitchoverSettings } from '../inputs/redis-switchover.js';
import { acts, call, changes, looks, moves, reads, switches } from '../runbook/acts.js';
import type { GateOptions, ReadStep, Runbook, TriesOn, WriteStep } from '../runbook/api.js';
import { ending } from '../runbook/failure.js';
import type { Undo } from '../runbook/undo.js';
import { compareBoth, differing, mustBeEqual } from './comparing.js';
import * as say from './redis-switchover-words.js';
import { probed } from './probes.js';

export interface Switchover {
  input: SwitchoverSettings;
  facts: CoupleFacts;
  /** Earlier steps that must stay as they are where the switch could not be undone, beside the replication. */
  holds?: string[];
  /** Either server may be restarted by its surroundings before the switch, and then follows no more, or nobody. */
  restarts?: boolean;
  /** Where the undos stand for a release: what its debris is found by. */
  of?: { namespace: string; release: string } | undefined;
}

type Replicated = Awaited<ReturnType<ReturnType<typeof acts>['startReplication']>>;

export function switchoverSteps(r: Runbook, { input, facts, holds = [], restarts = false, of }: Switchover) {
  const { source, target } = facts;
  const sides = (): Sides => say.sidesOf(input, facts, r.settings());
  const limits = () => say.limitsOf(input, r.settings());
  // The processes that took part from the moment on when one followed the other.
  let couple: Couple = facts.couple;
  const handOver = () => ({
    couple,
    name: input.name,
    repoint: input.repoint,
    capMs: milliseconds(limits().maxPause),
    maxLag: limits().maxLag,
    canary: input.canary,
    ...(of ? { of } : {}),
  });

  const backlog = {
    backlogBytes: facts.backlogBytes,
    backlogSeconds: Math.ceil(milliseconds(input.linkDownFor) / 1_000),
  };
  const replication = () => ({ couple, ...backlog });
  /** True where it had to be made to. */
  async function stillFollows(): Promise<boolean> {
    if (!restarts) return false;
    const { again, runIds } = await acts(moves, 'Make sure that it follows').followAgain(replication());
    couple = { ...couple, runIds: runIds ?? couple.runIds };
    if (again)
      r.warn(`${source.shown} or ${target.shown} was restarted: ${target.shown} was made to follow again`);
    return again;
  }

  return {
    couple: () => couple,

    /** What a pod that is made anew in the soak is mended by. */
    mending: (): MendInput => ({ handOver: handOver(), ...backlog }),

    /** Whether both hold the same. */
    areEqual: async (): Promise<boolean> => differing(await compareBoth(r, sides)) === 0,

    /** Both have their roles again, by other processes. */
    async mended({ how, runIds }: Mended): Promise<void> {
      if (how !== 'mended') return;
      couple = { ...couple, runIds };
      await r.undoneBy('Switch the applications over', call('handOverBack', handOver()));
    },

    replicate: (): WriteStep<Replicated | null> => ({
      does: [
        `let ${target.shown} follow ${source.shown}; whatever it holds is replaced`,
        `keep as many changes on both that the link may be down for ${input.linkDownFor} (repl-backlog-size, repl-backlog-ttl)`,
        ...(input.backup ? [] : ['no backup was taken before it (backup: false)']),
      ],
      notes: [say.sizeOf(facts), `${say.megabytes(facts.backlogBytes)} of changes are kept`],
      foresee: null,
      undo: {
        says: facts.targetEmpty
          ? 'stop following, and remove the copied keys from the target, which was empty before'
          : 'stop following; what the target held before is gone',
        call: call('stopReplication', {
          couple,
          wasEmpty: facts.targetEmpty,
          repoint: input.repoint,
          ...(of ? { of } : {}),
        }),
        byHand: [],
      },
      async do() {
        const followed = await acts(moves, 'Replicate').startReplication(replication());
        couple = { ...couple, runIds: followed.runIds ?? couple.runIds };
        return followed;
      },
      note: (result) => (result ? `in step after ${result.seconds} s` : ''),
    }),

    compare: (): ReadStep<CompareOutcome | null> => ({
      does: ['compare type, value and expiry of every key, in both directions'],
      foresee: null,
      async read() {
        await stillFollows();
        return mustBeEqual(await compareBoth(r, sides));
      },
      note: (result) => (result ? `${result.keysCompared.toLocaleString('en')} keys, no difference` : ''),
    }),

    /** What is seen of the target counts where it held the copy meanwhile: one that was restarted may have been empty. */
    async asFollower<T>(look: () => Promise<T>): Promise<T> {
      await stillFollows();
      for (let tries = 1; tries <= 3; tries += 1) {
        const seen = await look();
        if (!(await stillFollows())) return seen;
      }
      throw ending('BackupFailed', `${target.shown} was restarted each time, and did not hold its copy then`);
    },

    measure: (): ReadStep<Baseline | null> => ({
      does: [`measure ${source.shown} for ${input.measureFor}, to compare the new server with it`],
      foresee: null,
      read: () =>
        acts(moves, 'Measure the old server').measureServer({
          couple,
          forMs: milliseconds(input.measureFor),
          criteria: input.rollbackWhen,
        }),
      note: (result) => (result ? say.measured(result.summary) : ''),
    }),

    /** Looks again at the gate before the cutover: an approval is for two servers as they are now. */
    again: (title: string): GateOptions => ({
      again: async () => {
        await stillFollows();
        const found = await acts(looks, 'Look at both servers again').describeCouple({ settings: input });
        return { [title]: [...say.switchSays(found, limits(), input), ...say.followsNoMore(found)] };
      },
    }),

    switchOver(): WriteStep<HandOverOutcome | null> {
      const planned = handOver();
      return {
        does: say.switchSays(facts, limits(), input),
        foresee: null,
        impact: 'writes wait for a moment',
        undo: {
          says: `the same the other way round: with every write made since${facts.lostOnReturn && `, but for ${facts.lostOnReturn}`}`,
          call: call('handOverBack', planned),
          byHand: facts.byHand,
          holds: {
            steps: ['Replicate', ...holds],
            because: `${target.shown} keeps its keys: the applications may be using it`,
          },
        },
        // What it took to get over is what it takes to get back.
        certain: () => (handOver().capMs === planned.capMs ? null : call('handOverBack', handOver())),
        cutover: true,
        do: () =>
          r.cutover(async (on: TriesOn<{ pausesGivenUp: number }>) => {
            // Where an attempt failed in the middle, nobody knows yet who serves.
            if (!on.told && !on.settle) await stillFollows();
            return acts(switches, 'Switch the applications over').handOverForward({ ...handOver(), ...on });
          }),
        relieves: 'Switch the applications over',
        note: (result) =>
          result
            ? result.pausedMs === null
              ? 'finished by a later attempt'
              : `writes were held ${result.pausedMs} ms`
            : '',
      };
    },

    /** What is noted once it was switched, or planned to be. */
    switched(result: HandOverOutcome | null): void {
      if (result) r.record({ switch: say.switched(result) });
      for (const flaw of result ? say.flawsOf(result, facts) : []) r.blemish(flaw);
      r.wayBack({
        keepsWrites: facts.lostOnReturn === '',
        loses: facts.lostOnReturn,
        takes: `less than a second; writes wait for a moment. Open while the link between both servers is never down for longer than about ${input.linkDownFor}`,
      });
    },

    async validate(on: { before: Baseline | null; cutoverAt: number }): Promise<Check[]> {
      const { before, cutoverAt } = on;
      const { checks, after } = await acts(moves, 'Look at both servers').validateCouple({
        couple,
        repoint: input.repoint,
        versions: say.versions(facts),
        before,
        forMs: milliseconds(input.measureFor),
        cutoverAt,
      });
      r.record({ measured: { before: before?.summary ?? null, after } });
      const canary =
        input.canary === false
          ? []
          : say.canarySaw(r, await acts(reads, 'Read what the canary saw').readCanary({ way: 'forward' }));
      return [...checks, ...canary, ...(await probed(input))];
    },

    /** What is left to do once there is no way back. */
    finish: (): Undo => ({
      says: `${source.shown} follows no more, and keeps what it holds`,
      call: call('endReplication', { couple, repoint: input.repoint, ...(of ? { of } : {}) }),
      byHand: facts.closeByHand,
    }),

    close: () =>
      acts(changes, 'Close the way back').endReplication({
        couple,
        repoint: input.repoint,
        ...(of ? { of } : {}),
      }),
  };
}

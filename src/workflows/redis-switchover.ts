/**
 * redisSwitchover: a new server follows the old one and takes over from it; the old one then follows the new one, so that going
 * back loses nothing. Its runbook for people is docs/runbooks/redis-switchover.md, with the same headings.
 */
import type { Receipt } from '../contract.js';
import type { CompareOutcome } from '../activities/moving.js';
import type { Sides } from '../activities/sides.js';
import type { SoakSeen } from '../activities/replicating.js';
import { milliseconds } from '../inputs/refs.js';
import { RedisSwitchoverInput } from '../inputs/redis-switchover.js';
import { acts, call, changes, looks, moves, reads, switches } from '../runbook/acts.js';
import { ending } from '../runbook/failure.js';
import type { TriesOn } from '../runbook/api.js';
import { runbook } from '../runbook/runbook.js';
import * as say from './redis-switchover-words.js';

export async function redisSwitchover(raw: unknown): Promise<Receipt> {
  return runbook('redisSwitchover', RedisSwitchoverInput, raw, async (input, r) => {
    const facts = await r.step('Gather information', {
      read: () => acts(looks, 'Ask both servers').describeCouple({ settings: input }),
    });
    const { source, target, couple } = facts;
    await r.lock([...source.resolved, ...target.resolved].map((address) => `redis/${address}`));
    r.record({ servers: say.servers(facts), way: { chosen: 'replication' } });
    await r.checks('Pre-flight', () =>
      acts(reads, 'Pre-flight checklist').preflightCouple({ settings: input, facts }),
    );

    // ---- The new server follows. Applications go on as they are.
    r.wayBack({ takes: 'seconds; the applications notice nothing' });
    const followed = await r.step('Replicate', {
      does: [
        `let ${target.shown} follow ${source.shown}; whatever it holds is replaced`,
        `keep as many changes on both that the link may be down for ${input.linkDownFor} (repl-backlog-size)`,
      ],
      notes: [say.sizeOf(facts), `${say.megabytes(facts.backlogBytes)} of changes are kept`],
      foresee: null,
      undo: {
        says: facts.targetEmpty
          ? 'stop following, and remove the copied keys from the target, which was empty before'
          : 'stop following; what the target held before is gone',
        call: call('stopReplication', { couple, wasEmpty: facts.targetEmpty }),
        byHand: [],
      },
      do: () => acts(moves, 'Replicate').startReplication({ couple, backlogBytes: facts.backlogBytes }),
      note: (result) => (result ? `in step after ${result.seconds} s` : ''),
    });
    if (followed) r.record({ replication: followed });

    const sides = (): Sides => say.sidesOf(input, facts, r.settings());
    const compared = await r.step('Compare both sides', {
      does: ['compare type, value and expiry of every key, in both directions'],
      foresee: null,
      read: async () =>
        mustBeEqual(
          await r.resumable((checkpoint?: CompareOutcome['checkpoint']) =>
            acts(moves, 'Compare both sides').compareKeys({ sides: sides(), checkpoint, repair: 'never' }),
          ),
        ),
      note: (result) => (result ? `${result.keysCompared.toLocaleString('en')} keys, no difference` : ''),
    });
    if (compared) r.record({ comparison: say.comparison(compared) });

    // ---- The cutover.
    const limits = () => say.limitsOf(input, r.settings());
    await r.gate('cutover', `Switch the applications over to ${target.shown}?`, {
      again: async () => {
        const found = await acts(looks, 'Look at both servers again').describeCouple({ settings: input });
        return {
          'Switch the applications over': [...say.switchSays(found, limits()), ...say.followsNoMore(found)],
        };
      },
    });
    await r.window('Maintenance window', milliseconds(input.maxPause) + 30_000);
    const handOver = () => ({
      couple,
      name: input.name,
      repoint: input.repoint,
      capMs: milliseconds(limits().maxPause),
      maxLag: limits().maxLag,
    });
    const planned = handOver();
    const switched = await r.step('Switch the applications over', {
      does: say.switchSays(facts, limits()),
      foresee: null,
      impact: 'writes wait for a moment',
      undo: {
        says: 'the same the other way round: with every write made since',
        call: call('handOverBack', planned),
        byHand: facts.byHand,
        holds: {
          steps: ['Replicate'],
          because: `${target.shown} keeps its keys: the applications may be using it`,
        },
      },
      // What it took to get over is what it takes to get back.
      certain: () => (handOver().capMs === planned.capMs ? null : call('handOverBack', handOver())),
      cutover: true,
      do: () =>
        r.cutover((on: TriesOn<{ pausesGivenUp: number }>) =>
          acts(switches, 'Switch the applications over').handOverForward({ ...handOver(), ...on }),
        ),
      relieves: 'Switch the applications over',
      note: (result) =>
        result
          ? result.pausedMs === null
            ? 'finished by a later attempt'
            : `writes were held ${result.pausedMs} ms`
          : '',
    });
    if (switched) r.record({ switch: switched });
    for (const flaw of switched ? say.flawsOf(switched, facts) : []) r.blemish(flaw);
    r.wayBack({
      keepsWrites: true,
      loses: '',
      takes: `less than a second; writes wait for a moment. Open while the link between both servers is never down for longer than about ${input.linkDownFor}`,
    });

    // ---- Afterwards, with the way back open.
    await r.checks('Validate', async () => [
      ...(await acts(reads, 'Look at both servers').validateCouple({ couple })),
      ...(
        await acts({ ...changes, startToCloseTimeout: '1h' }, 'Run the probes').runProbes({
          probes: input.probes,
          name: input.name,
        })
      ).map(say.probeCheck),
    ]);
    await r.checks('Soak', async () => {
      const { checkpoint: seen } = await r.resumable((checkpoint?: SoakSeen) =>
        acts(moves, 'Watch both servers').soakReplication({
          couple,
          forMs: milliseconds(input.soak),
          checkpoint,
        }),
      );
      r.record({ soak: say.soak(seen) });
      if (seen.safety.broken !== null)
        r.wayBack({
          keepsWrites: false,
          loses: `what was written to ${target.shown}: ${seen.safety.broken}`,
        });
      return [say.wayBackCheck(seen)];
    });

    const finish = {
      says: `${source.shown} follows no more, and keeps what it holds`,
      call: call('endReplication', { couple, repoint: input.repoint }),
      byHand: facts.closeByHand,
    };
    await r.gate(
      'commit',
      `Close the way back? ${source.shown} stops following, and can not take over again.`,
    );
    await r.pointOfNoReturn('Point of no return', 'the way back is closed from here on', finish);
    await r.step('Close the way back', {
      does: [finish.says, 'put the settings back that were changed for the replication'],
      foresee: undefined,
      undo: { none: 'the upgrade is complete' },
      do: () => acts(changes, 'Close the way back').endReplication({ couple, repoint: input.repoint }),
    });
    r.wayBack({
      possible: false,
      loses: 'The upgrade is complete; go back with another redisSwitchover or redisCopy.',
    });
  });
}

function mustBeEqual(result: CompareOutcome): CompareOutcome {
  const different = result.missing + result.extra + result.type + result.value + result.ttl - result.repaired;
  if (different > 0)
    throw ending(
      'ComparisonDiffers',
      say.differences(result, different, { way: 'auto', ifTargetHasKeys: 'refuse' }),
    );
  return result;
}

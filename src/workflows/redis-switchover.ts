/**
 * redisSwitchover: a new server follows the old one and takes over from it; the old one then follows the new one, so that going
 * back loses nothing. Its runbook for people is docs/runbooks/redis-switchover.md, with the same headings.
 */
import type { Receipt } from '../contract.js';
import type { CompareOutcome } from '../activities/moving.js';
import type { Use } from '../activities/decommissioning.js';
import type { Sides } from '../activities/sides.js';
import { milliseconds } from '../inputs/refs.js';
import { RedisSwitchoverInput } from '../inputs/redis-switchover.js';
import { acts, call, changes, looks, moves, reads, switches } from '../runbook/acts.js';
import { ending } from '../runbook/failure.js';
import type { TriesOn } from '../runbook/api.js';
import { runbook } from '../runbook/runbook.js';
import { FINISH } from '../runbook/undo.js';
import { backing } from './backup-step.js';
import { soaking } from './redis-switchover-soak.js';
import * as say from './redis-switchover-words.js';

export async function redisSwitchover(raw: unknown): Promise<Receipt> {
  return runbook('redisSwitchover', RedisSwitchoverInput, raw, async (input, r) => {
    const facts = await r.step('Gather information', {
      read: () => acts(looks, 'Ask both servers').describeCouple({ settings: input }),
    });
    const { source, target, couple } = facts;
    const { backup } = input;
    await r.lock([...source.resolved, ...target.resolved].map((address) => `redis/${address}`));
    r.record({ servers: say.servers(facts), way: { chosen: 'replication' }, clients: say.clients(facts) });
    await r.checks('Pre-flight', async () => [
      ...(await acts(reads, 'Pre-flight checklist').preflightCouple({ settings: input, facts })),
      ...(await acts(reads, 'Room for the backups').preflightBackup({ source: input.source, backup })),
    ]);

    // ---- Before anything is changed.
    const backUp = backing(r, { backup, about: source.usedMemory });
    await backUp('Back up the old server', { endpoint: input.source, side: 'source', shown: source.shown });

    // ---- The new server follows. Applications go on as they are.
    r.wayBack({ takes: 'seconds; the applications notice nothing' });
    const followed = await r.step('Replicate', {
      does: [
        `let ${target.shown} follow ${source.shown}; whatever it holds is replaced`,
        `keep as many changes on both that the link may be down for ${input.linkDownFor} (repl-backlog-size, repl-backlog-ttl)`,
        ...(backup ? [] : ['no backup was taken before it (backup: false)']),
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
        }),
        byHand: [],
      },
      do: () =>
        acts(moves, 'Replicate').startReplication({
          couple,
          backlogBytes: facts.backlogBytes,
          backlogSeconds: Math.ceil(milliseconds(input.linkDownFor) / 1_000),
        }),
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

    const before = await r.step('Measure the old server', {
      does: [`measure ${source.shown} for ${input.measureFor}, to compare the new server with it`],
      foresee: null,
      read: () =>
        acts(moves, 'Measure the old server').measureServer({
          couple,
          forMs: milliseconds(input.measureFor),
          criteria: input.rollbackWhen,
        }),
      note: (result) => (result ? say.measured(result.summary) : ''),
    });
    for (const doubt of before?.doubts ?? []) r.warn(`rollbackWhen: ${doubt}`);

    // ---- The cutover.
    const limits = () => say.limitsOf(input, r.settings());
    await r.gate('cutover', `Switch the applications over to ${target.shown}?`, {
      again: async () => {
        const found = await acts(looks, 'Look at both servers again').describeCouple({ settings: input });
        return {
          'Switch the applications over': [
            ...say.switchSays(found, limits(), input),
            ...say.followsNoMore(found),
          ],
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
      canary: input.canary,
    });
    const planned = handOver();
    const switched = await r.step('Switch the applications over', {
      does: say.switchSays(facts, limits(), input),
      foresee: null,
      impact: 'writes wait for a moment',
      undo: {
        says: `the same the other way round: with every write made since${facts.lostOnReturn && `, but for ${facts.lostOnReturn}`}`,
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
    const cutoverAt = Date.now();
    if (switched) r.record({ switch: say.switched(switched) });
    for (const flaw of switched ? say.flawsOf(switched, facts) : []) r.blemish(flaw);
    r.wayBack({
      keepsWrites: facts.lostOnReturn === '',
      loses: facts.lostOnReturn,
      takes: `less than a second; writes wait for a moment. Open while the link between both servers is never down for longer than about ${input.linkDownFor}`,
    });

    // ---- Afterwards, with the way back open.
    await r.checks('Validate', async () => {
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
      const probes = await acts({ ...changes, startToCloseTimeout: '1h' }, 'Run the probes').runProbes({
        probes: input.probes,
        name: input.name,
      });
      return [...checks, ...canary, ...probes.map(say.probeCheck)];
    });
    // Before the soak: the snapshot counts as a full sync of the new server, by which the soak tells that the way back is broken.
    await backUp('Back up the new server', { endpoint: input.target, side: 'target', shown: target.shown });
    const soak = soaking(r, { input, couple, before, cutoverAt, target });
    // Again only for a criterion that a person has judged: at most once for each.
    do await r.checks('Soak', soak.watch, soak.says);
    while (soak.goesOn());

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
    const closed = await r.step('Close the way back', {
      does: [finish.says, 'put the settings back that were changed for the replication'],
      foresee: null,
      undo: { none: 'the upgrade is complete' },
      do: async () => {
        await acts(changes, 'Close the way back').endReplication({ couple, repoint: input.repoint });
        return input.decommission
          ? acts(reads, 'Remember how the old server is used').lookAtUse({ server: input.source })
          : null;
      },
    });
    r.wayBack({
      possible: false,
      loses: 'The upgrade is complete; go back with another redisSwitchover or redisCopy.',
    });

    // ---- The old server itself, only where the input asks for it.
    const how = input.decommission;
    if (!how) return;
    // Nothing is left to undo, nor to clean up: whoever recovers a terminated upgrade from here on must not touch either server.
    await r.keep(FINISH, null);
    let seen: Use | null = closed;
    await r.checks('Nobody uses the old server', async () => {
      if (!closed) throw new Error('how it was used is known once the way back is closed');
      const { checks, now } = await acts(reads, 'Who uses the old server').proveUnused({
        server: input.source,
        since: closed,
      });
      seen = now;
      return checks;
    });
    if (!(await r.gate('decommission', say.decommissionQuestion(source, how), { optional: true }))) return;
    const gone = await r.step('Decommission the old server', {
      does: say.decommissionDoes(source, how),
      foresee: null,
      undo: { none: 'the old server is out of service; its file and the backup hold what it held' },
      skippable: true,
      do: async () => {
        if (!seen) throw new Error('nobody has looked who uses it');
        return acts({ ...moves, retry: { ...changes.retry } }, 'Decommission the old server').decommission({
          server: input.source,
          how,
          seen,
          name: input.name,
          step: 'Decommission the old server',
        });
      },
      note: (result) => (result ? `it is gone after ${result.seconds} s` : ''),
    });
    if (gone) r.record({ decommission: say.decommissioned(gone) });
    if (gone?.warning) r.warn(gone.warning);
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

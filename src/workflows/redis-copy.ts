/**
 * redisCopy: moves all keys of a Redis to another one, then switches the applications over.
 * Its runbook for people is docs/runbooks/redis-copy.md, with the same headings.
 */
import type { Receipt } from '../contract.js';
import type { Pair } from '../activities/looking.js';
import type { CopyOutcome } from '../activities/moving.js';
import type { Sides } from '../activities/sides.js';
import type { ClearOutcome, WatchOutcome } from '../activities/closing.js';
import type { FenceBefore } from '../activities/switching.js';
import { milliseconds } from '../inputs/refs.js';
import { RedisCopyInput, type RedisCopySettings } from '../inputs/redis-copy.js';
import type { Repoint } from '../inputs/repoint.js';
import {
  acts,
  call,
  changes,
  follows,
  inspects,
  looks,
  moves,
  reads,
  switches,
  workAt,
} from '../runbook/acts.js';
import type { Runbook } from '../runbook/api.js';
import { runbook } from '../runbook/runbook.js';
import { compareBoth, mustBeEqual } from './comparing.js';
import * as say from './redis-copy-words.js';
import { probeCheck, runProbes } from './probes.js';

export async function redisCopy(raw: unknown): Promise<Receipt> {
  return runbook('redisCopy', RedisCopyInput, raw, async (input, r) => {
    if (input.taskQueue !== undefined) workAt(input.taskQueue);
    const pair = await r.step('Gather information', {
      read: () => acts(looks, 'Ask both servers').describePair({ settings: input }),
      note: (found) => say.whichWay(input, found),
    });
    await r.lock([...pair.source.resolved, ...pair.target.resolved].map((address) => `redis/${address}`));
    const how = choose(input, pair);
    const sides = (): Sides => ({
      ...how.sides,
      rate: (r.rate() as Sides['rate'] | undefined) ?? input.rate,
    });
    r.way(how.way);
    r.record({ servers: say.servers(pair), way: { ...how.way, changesAreKnown: pair.source.can.tracking } });

    await r.checks('Pre-flight', () =>
      acts(inspects, 'Pre-flight checklist').preflight({ settings: input, pair }),
    );
    await r.gate(
      'start',
      input.way === 'none'
        ? `Take over from the import of ${say.whatIsCopied(input, pair)}?`
        : `Copy ${say.whatIsCopied(input, pair)}?`,
    );

    // ---- The copy. Applications go on as they are.
    r.wayBack({ takes: how.copyUndone.takes });
    if (input.way === 'none') {
      await r.step('Take over from the import', {
        does: ['copy nothing, since another tool has; carry over what changes from here on'],
        foresee: {},
        undo: how.copyUndone.undo,
        do: () => acts(changes, 'Take over from the import').takeOver({ sides: sides() }),
      });
    } else {
      const copied = await r.step('Copy every key', {
        does: [
          `copy ${say.whatIsCopied(input, pair)} ${how.copySays}, with their exact expiry`,
          ...how.functionsSay,
          how.rateSays,
        ],
        notes: [say.sizeOf(pair)],
        foresee: null,
        undo: how.copyUndone.undo,
        do: () =>
          r.resumable((checkpoint?: CopyOutcome['checkpoint']) =>
            acts(moves, 'Copy every key').copyKeys({ sides: sides(), checkpoint }),
          ),
        note: (result) => (result ? `${result.counts.copied.toLocaleString('en')} keys` : ''),
      });
      if (copied) {
        const { counts, resumedFrom, functions } = copied;
        r.record({ copied: { ...counts, resumedFrom, ...(functions?.length ? { functions } : {}) } });
      }
    }

    const compared = await r.step('Compare both sides', {
      does: ['compare type, value and expiry of every key, in both directions', ...how.differencesSay],
      foresee: null,
      read: async () => mustBeEqual(await compareBoth(r, sides, { repair: how.firstRepair }), input),
      note: (result) =>
        result ? `${result.keysCompared.toLocaleString('en')} keys, ${say.noDifference(result)}` : '',
    });
    if (compared) r.record({ comparison: say.comparison(compared) });

    const { repoint } = input;
    if (!repoint) {
      await r.keep('Copy every key', null);
      await close(r, {
        says: 'keep the copy: nothing is switched, the source goes on serving',
        sides: how.sides,
        fence: null,
        repoint: null,
      });
      return;
    }

    // ---- The switch.
    await r.gate('cutover', `Switch the applications over to ${pair.target.shown}?`, {
      meanwhile: () =>
        acts(follows, 'Keep the target in step while people decide').followKeys({ sides: sides() }),
    });
    await r.window('Maintenance window', how.switchTakesMs);

    const { stopWrites, startWrites } = input;
    if (stopWrites && startWrites) {
      await r.step('Stop the application writing', {
        does: [say.action(stopWrites)],
        foresee: {},
        impact: 'the application does not write',
        undo: {
          says: `let the application write again: ${say.action(startWrites)}`,
          call: call('runAction', {
            action: startWrites,
            label: 'startWrites',
            event: 'start-writes',
            name: input.name,
          }),
          byHand: say.actionByHand(startWrites, 'start-writes'),
        },
        do: () =>
          acts(changes, 'Stop the application writing').runAction({
            action: stopWrites,
            label: 'stopWrites',
            event: 'stop-writes',
            name: input.name,
          }),
      });
      const still = await r.step('Compare while nobody writes', {
        does: ['carry over what is left and compare everything once more, while writes are stopped'],
        foresee: null,
        read: async () =>
          mustBeEqual(
            await compareBoth(r, () => ({ ...sides(), rate: 'full' }), {
              title: 'Compare while nobody writes',
              repair: 'when changes were missed',
            }),
            input,
          ),
        note: (result) => (result ? `${result.keysCompared.toLocaleString('en')} keys, no difference` : ''),
      });
      if (still) r.record({ comparisonWithWritesStopped: say.comparison(still) });
    }

    const switchInput = {
      sides: how.sides,
      name: input.name,
      repoint,
      pauseMs: how.pauseMs,
      fence: how.fence,
    };
    const backInput = {
      ...switchInput,
      sourceRunId: pair.source.runId,
      keepWrites: true,
      keepSteps: ['Copy every key'],
    };
    const switched = await r.step('Switch the applications over', {
      does: how.switchSays,
      foresee: null,
      ...(how.mayLose === undefined ? {} : { mayLose: how.mayLose }),
      impact: how.impact,
      undo: {
        says: `switch back to the source, with every write made since${how.backSays}`,
        call: call('switchBack', { ...backInput, switched: null }),
        byHand: say.switchBackByHand(pair),
        holds: {
          steps: ['Copy every key'],
          because: `${pair.target.shown} keeps its keys: the applications may be using it`,
        },
      },
      cutover: true,
      do: (told) =>
        acts(switches, 'Switch the applications over').switchForward({
          ...switchInput,
          // It may have been changed since it was planned.
          pauseMs: how.pauseMs === null ? null : milliseconds(r.settings().maxPause ?? input.maxPause),
          told,
        }),
      certain: (result) =>
        call('switchBack', {
          ...backInput,
          switched: result === null ? null : { targetRunId: result.targetRunId },
        }),
      relieves: 'Switch the applications over',
      note: (result) =>
        result
          ? result.writePauseMs === null
            ? 'finished by a later attempt'
            : `writes were held ${result.writePauseMs} ms`
          : '',
    });
    if (switched) r.record({ switch: switched });
    if (switched?.sourceRestarted)
      r.blemish(
        `${pair.source.shown} was restarted during the switch and took writes until it was fenced again; they are not on ${pair.target.shown}`,
      );
    r.wayBack(
      how.mayLose === undefined
        ? { keepsWrites: true, loses: '', takes: how.backTakes }
        : {
            keepsWrites: false,
            loses: `the writes that reach ${pair.target.shown} while the applications move back`,
            takes: 'about as long as the comparison took',
          },
    );
    if (how.mayLose !== undefined) r.blemish(`May have been lost, as the input accepts: ${how.mayLose}`);

    if (stopWrites && startWrites) {
      await r.step('Let the application write again', {
        does: [say.action(startWrites)],
        foresee: {},
        undo: {
          says: `stop the application writing while it goes back: ${say.action(stopWrites)}`,
          call: call('runAction', {
            action: stopWrites,
            label: 'stopWrites',
            event: 'stop-writes',
            name: input.name,
          }),
          byHand: say.actionByHand(stopWrites, 'stop-writes'),
          brings: { what: 'the application does not write', step: 'Stop the application writing' },
        },
        do: () =>
          acts(changes, 'Let the application write again').runAction({
            action: startWrites,
            label: 'startWrites',
            event: 'start-writes',
            name: input.name,
          }),
        relieves: 'Stop the application writing',
      });
    }

    // ---- Afterwards.
    if (input.probes.length > 0) {
      await r.checks('Test the application', async () => {
        const results = await runProbes(input);
        r.record({ probes: results });
        return results.map(probeCheck);
      });
    }

    await r.checks('Watch for stragglers', async () => {
      // Interrupted by whoever asks to go back, or pauses: a watch may be long.
      const { checkpoint: seen } = await r.resumable((checkpoint?: WatchOutcome['checkpoint']) =>
        acts(moves, 'Watch the source for clients that stayed').watchStragglers({
          sides: how.sides,
          fence: how.fence,
          forMs: milliseconds(input.watch),
          checkpoint,
        }),
      );
      r.record({ stragglers: seen });
      const check = say.stragglers(seen, pair);
      // It stays so when a later watch sees nothing any more.
      if (check.status === 'fail') r.blemish(`After the switch, at ${pair.source.shown}: ${check.actual}`);
      return [check];
    });

    const finish = {
      says: how.fence ? `lift the fence of ${pair.source.shown}` : 'remove what was kept for the way back',
      call: call('settle', { sides: how.sides, fence: how.fence, repoint }),
      byHand: how.fence ? pair.byHand.unfence : [],
    };
    if (input.cleanup) {
      await r.gate('cleanup', `Delete the copied keys from ${pair.source.shown}? This can not be undone.`);
      await r.step('Prove the source unchanged', {
        does: ['check that the source was not written to since the comparison'],
        foresee: { unchanged: true as const },
        read: () =>
          acts(reads, 'Prove the source unchanged').proveSourceUnchanged({
            sides: how.sides,
            sourceRunId: switched?.sourceRunId ?? pair.source.runId,
          }),
      });
      await r.pointOfNoReturn(
        'Point of no return',
        `the keys of ${pair.source.shown} are deleted from here on`,
        finish,
      );
      const cleaned = await r.step("Delete the source's keys", {
        does: [`delete the copied keys from ${pair.source.shown}`],
        foresee: null,
        undo: { none: 'deleted keys are gone; the target has them' },
        do: () =>
          r.resumable((checkpoint?: ClearOutcome['checkpoint']) =>
            acts(moves, "Delete the source's keys").clearSource({
              sides: how.sides,
              fence: how.fence,
              checkpoint,
            }),
          ),
        note: (result) => (result ? `${result.deleted.toLocaleString('en')} keys` : ''),
      });
      if (cleaned) r.record({ cleanup: { deleted: cleaned.deleted } });
    }

    // Before anything is removed that going back would need.
    if (!input.cleanup) await r.closeWayBack('the way back is being closed', finish);
    const says = how.fence
      ? 'lift the fence of the source: it is an ordinary server again, which nobody uses'
      : 'remove what was kept for the way back';
    await close(r, { says, sides: how.sides, fence: how.fence, repoint });
    r.wayBack({ possible: false, loses: 'The upgrade is complete; copy back with another redisCopy.' });
  });
}

/** The end of the way forward, with or without a switch. */
async function close(
  r: Runbook,
  end: { says: string; sides: Sides; fence: FenceBefore | null; repoint: Repoint | null },
): Promise<void> {
  const { says, ...input } = end;
  await r.step('Close the way back', {
    does: [says],
    foresee: undefined,
    undo: { none: 'the upgrade is complete' },
    do: () => acts(changes, 'Close the way back').settle(input),
  });
}

/** How this pair is switched: what the servers allow decides. */
function choose(input: RedisCopySettings, pair: Pair) {
  const { hold, fence } = pair;
  const ways = say.waysOf(pair);
  const shared = pair.others.join(', ');
  const pauseMs = hold.pause ? milliseconds(input.maxPause) : null;
  const sides = say.sidesOf(input, pair);
  const others = shared ? `, which holds the writes of everyone there (${shared})` : '';
  const switchSays = [
    ...(pauseMs === null
      ? []
      : [`pause writes at ${pair.source.shown} for at most ${input.maxPause}${others}`]),
    'carry over and compare the last changes',
    ...(fence ? [`fence ${pair.source.shown}, so that it refuses writes (${say.FENCES[fence.kind]})`] : []),
    ...pair.repointSays.map((line) => line.charAt(0).toLowerCase() + line.slice(1)),
    "close the applications' old connections",
  ];
  const lossless = input.writes === 'stopped' || (pauseMs !== null && fence !== null);
  return {
    sides,
    pauseMs,
    fence,
    switchSays,
    impact: `writes are held for a moment${pauseMs !== null && shared ? `, also those of others on ${pair.source.shown} (${shared})` : ''}`,
    switchTakesMs: milliseconds(input.maxPause) + 60_000,
    rateSays:
      input.rate === 'yield'
        ? 'slow down when the source gets slower'
        : input.rate === 'full'
          ? 'at full speed'
          : `at ${input.rate} keys a second`,
    way: {
      ...(input.way === 'none' ? { chosen: 'none', because: 'asked for' } : ways.forward),
      back: ways.back,
    },
    copySays: say.byWay(ways.forward),
    copyUndone: copyUndone(input, sides),
    functionsSay:
      sides.functions && pair.source.functions?.length
        ? [`load its function libraries there: ${pair.source.functions.join(', ')}`]
        : [],
    firstRepair:
      input.way !== 'none'
        ? ('when changes were missed' as const)
        : input.ifTargetHasKeys === 'replace'
          ? ('all but extra' as const)
          : ('never' as const),
    differencesSay:
      input.way === 'none' && input.ifTargetHasKeys === 'replace'
        ? [
            'copy again what is missing or differs on the target; keys that only the target has stay, and count as differences',
          ]
        : [],
    backSays: ways.back.chosen === 'value' ? ', by value' : '',
    backTakes: `about as long as the comparison took; writes pause for a moment${ways.noWayBackFor.length > 0 ? ` (${ways.noWayBackFor.join(', ')} would stop it, with nothing lost)` : ''}`,
    mayLose: lossless
      ? undefined
      : `writes that reach ${pair.source.shown} while the applications move (${hold.why})`,
  };
}

/** How the copy is undone, and how long that takes. */
function copyUndone(input: RedisCopySettings, sides: Sides) {
  if (input.way === 'none')
    return {
      takes: 'seconds; the target keeps its keys',
      undo: {
        says: 'nothing comes back: the target keeps its keys, and those that were carried over',
        call: call('keepTarget', { sides }),
        byHand: [],
      },
    };
  if (input.ifTargetHasKeys === 'refuse')
    return {
      takes: 'as long as it takes to remove the copied keys from the target; the applications notice nothing',
      undo: {
        says: 'remove the copied keys from the target, which was empty before',
        call: call('clearTarget', { sides }),
        byHand: [],
      },
    };
  return {
    takes: 'seconds; the copied keys stay on the target',
    undo: {
      says: 'nothing comes back: the copied keys stay on the target, and those that were replaced are gone',
      call: call('keepTarget', { sides }),
      byHand: [],
    },
  };
}

/** The soak of `redisSwitchover`: what its watching finds, who is asked, and when it goes back by itself. */
import type { Mended } from '../activities/mending.js';
import type { Couple } from '../activities/replicating.js';
import type { Baseline, Curves, SoakSeen } from '../activities/soaking.js';
import type { Check, Choice, Plot } from '../contract.js';
import { milliseconds } from '../inputs/refs.js';
import type { SwitchoverSettings } from '../inputs/redis-switchover.js';
import { criterionName } from '../inputs/rollback-when.js';
import { acts, moves } from '../runbook/acts.js';
import type { Runbook } from '../runbook/api.js';

type Threat = NonNullable<SoakSeen['safety']['threat']>['kind'];

/** A link that comes and goes for a whole day must not fill the history, nor a person's night. */
const ASKED_AT_MOST = 10;

/** What ends pods again and again is for a person. */
const MENDED_AT_MOST = 5;

/** Watches again and again for what `r.checks` asks: once, and once more for each criterion that a person has judged. */
export function soaking(
  r: Runbook,
  on: {
    input: SwitchoverSettings;
    couple: Couple;
    before: Baseline | null;
    cutoverAt: number;
    target: { shown: string };
    /** The gate that closes the way back. */
    closes?: string;
    /** Pods are made anew by their surroundings: what gives both their roles back, where nothing is lost by that. */
    mend?: () => Promise<Mended>;
    /** How many replicas the new server should have, where `mend` also sees to the others. */
    replicas?: number;
  },
) {
  const { input, couple, before, cutoverAt, target, closes = 'commit', mend, replicas } = on;
  const criteria = input.rollbackWhen;
  const settled: number[] = [];
  const asked: Partial<Record<Threat, number>> = {};
  const marks: Plot['marks'] = [{ at: cutoverAt, says: 'switch' }];
  let seen: SoakSeen | undefined;
  let curves: Curves | undefined;
  let ended = false;
  let anew = false;
  let mends = 0;
  let strays = 0;

  async function look(expecting: Threat | null): Promise<SoakSeen> {
    const { checkpoint } = await r.resumable(async (checkpoint?: SoakSeen) => {
      const result = await acts(moves, 'Watch both servers').soakReplication({
        couple,
        forMs: milliseconds(input.soak),
        linkDownForMs: milliseconds(input.linkDownFor),
        criteria,
        baseline: before?.summary ?? null,
        settled,
        expecting,
        quiet: (Object.entries(asked) as [Threat, number][]).flatMap(([kind, times]) =>
          times >= ASKED_AT_MOST ? [kind] : [],
        ),
        checkpoint: checkpoint ?? seen,
        ...(mend ? { pods: true, anew } : {}),
        ...(replicas !== undefined && strays < MENDED_AT_MOST ? { replicas, strays } : {}),
      });
      anew = false;
      // Also when it was cut short, by a pause or by going back: the receipt then shows everything until then.
      seen = result.checkpoint;
      curves = result.curves;
      show(seen);
      return result;
    });
    return checkpoint;
  }

  function show(now: SoakSeen): void {
    r.record({ soak: soakFacts(now) });
    for (const plot of plots({ before: before?.curves, after: curves, marks })) r.plot(plot);
  }

  /** Watches, and asks a person in time where the way back is threatened. Watching goes on while it asks. */
  async function watchAndAsk(): Promise<SoakSeen> {
    for (let now = await look(null); ;) {
      const { found, safety } = now;
      if (found?.kind !== 'threat') {
        if (found?.kind === 'broken' && mend && mends < MENDED_AT_MOST) {
          const { how, says } = await mend();
          r.warn(`During the soak ${says}`);
          if (how === 'mended' || how === 'well') {
            mends += 1;
            anew = true;
            now = await look(null);
            continue;
          }
          // It is said by the check.
          seen = { ...now, safety: { ...safety, broken: says } };
          return seen;
        }
        if (found?.kind === 'strayed' && mend) {
          strays += 1;
          r.warn(`During the soak ${(await mend()).says}`);
          now = await look(null);
          continue;
        }
        if (found?.kind !== 'passed') return now;
        now = await look(null);
        continue;
      }
      const { of } = found;
      const says = safety.threat?.says ?? '';
      asked[of] = (asked[of] ?? 0) + 1;
      const last = asked[of] >= ASKED_AT_MOST ? ' It is not asked again when this comes back.' : '';
      r.warn(`During the soak ${WARNINGS[of]}`);
      const answer = await r.decide({
        about: 'Soak',
        problem: `The way back is threatened: ${says}. It is watched meanwhile; when the threat passes, so does this question.${last}`,
        choices: {
          continue: 'go on watching',
          skip: `end the soak now, to close the way back at the gate "${closes}"`,
          ...inTime(of, r.waysOut()),
        },
        meanwhile: () => look(of),
      });
      if (answer === 'skip') {
        ended = true;
        return seen ?? now;
      }
      // Withdrawn: what came meanwhile stands in what was seen.
      now = answer === 'withdrawn' ? (seen ?? now) : await look(of);
    }
  }

  return {
    says: [
      `watch both servers for ${input.soak}`,
      ...criteria.map((criterion) => `go back by itself on a clear breach of ${criterionName(criterion)}`),
    ],
    async watch(): Promise<Check[]> {
      ended = false;
      const now = await watchAndAsk();
      const { found, safety } = now;
      if (safety.broken !== null) {
        // From here on there is nothing to watch over.
        ended = true;
        r.wayBack({ keepsWrites: false, loses: `what was written to ${target.shown}: ${safety.broken}` });
      }
      if (found?.kind === 'breach') {
        const criterion = criteria[found.criterion];
        if (criterion) marks.push({ at: now.last.at, says: criterionName(criterion) });
        show(now);
        // It returns only where a person was asked, and chose to go on forward.
        if (found.clear) await r.goBack(`rollbackWhen: ${found.says}`);
      } else if (found === null) ended = true;
      return [wayBackCheck(now), ...criteriaChecks(now)];
    },
    /** Whether a criterion was judged, and there is time left to watch. */
    goesOn(): boolean {
      if (r.planning || ended || seen?.found?.kind !== 'breach') return false;
      settled.push(seen.found.criterion);
      return true;
    },
  };

  function criteriaChecks({ found }: SoakSeen): Check[] {
    return criteria.flatMap((criterion, index): Check[] => {
      if (settled.includes(index)) return [];
      const name = `rollbackWhen: ${criterionName(criterion)}`;
      const expected = 'not in breach for that long';
      if (found?.kind !== 'breach' || found.criterion !== index)
        return [{ name, status: 'pass', expected, actual: expected, waivable: false }];
      return [
        {
          name,
          status: found.clear ? 'warn' : 'fail',
          expected,
          actual: found.says,
          next: 'Go back, waive it to go on without being asked for it again, or retry to watch for it once more.',
          waivable: !found.clear,
        },
      ];
    });
  }
}

/** Without the numbers, which change: each is kept once. */
const WARNINGS: Record<Threat, string> = {
  link: 'the link between both servers was down',
  behind: 'the old server fell far behind',
  room: 'more was written than the way back has room for, should the link be down',
};

/** Going back needs the link: without it, the decision says what that means. */
function inTime(threat: Threat, choices: Partial<Record<Choice, string>>): Partial<Record<Choice, string>> {
  const { rollback, ...others } = choices;
  if (rollback === undefined) return choices;
  return {
    rollback:
      threat === 'link'
        ? `${rollback}. As long as the link is down it can't, and asks to try again`
        : rollback,
    ...others,
  };
}

function wayBackCheck({ safety, seconds }: SoakSeen): Check {
  const { broken, threat } = safety;
  return {
    name: 'The way back is open',
    status: broken !== null ? 'fail' : threat ? 'warn' : 'pass',
    expected: 'the old server follows, and understands everything',
    actual: broken ?? threat?.says ?? `watched for ${Math.round(seconds)} s`,
    waivable: true,
    ...(broken !== null
      ? { next: 'Waive it to go on without a way back, or go back now and lose what the decision names.' }
      : threat
        ? { next: 'Look at the link between both servers.' }
        : {}),
  };
}

function soakFacts({ seconds, most, first, last, safety, now }: SoakSeen): Record<string, unknown> {
  return {
    seconds,
    ...now,
    lagBytesMost: most.lag,
    fullSyncs: last.primary.syncs.full - first.primary.syncs.full,
    linkMayBeDownSeconds: safety.linkMayBeDownSeconds,
  };
}

/** Before and after the switch on one axis; nothing is drawn across it. */
function plots(on: { before: Curves | undefined; after: Curves | undefined; marks: Plot['marks'] }): Plot[] {
  const { before, after, marks } = on;
  const of = (metric: keyof Curves): Plot['points'] => {
    const [first, then] = [before?.[metric] ?? [], after?.[metric] ?? []];
    const end = first.at(-1);
    return [...first, ...(end && then.length > 0 ? [[end[0] + 1, null] as [number, null]] : []), ...then];
  };
  return [
    { title: 'Latency of a PING, p99', unit: 'ms', points: of('latencyP99Ms'), marks: [...marks] },
    { title: 'Commands', unit: 'commands/s', points: of('opsPerSecond'), marks: [...marks] },
    { title: 'Replication lag', unit: 'bytes', points: of('lagBytes'), marks: [...marks] },
  ];
}

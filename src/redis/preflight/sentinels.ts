/** Whether the Sentinels that are to be told can be, and nobody else would undo the handover: a pure function of what was found. */
import type { Check } from '../../contract.js';
import { shown } from '../address.js';
import type { ServerFacts } from '../describe.js';
import { isAt, unsettled, type SentinelFacts, type SentinelsSeen, type WatchedServer } from '../sentinel.js';
import { check, count } from './check.js';

interface Watched {
  source: ServerFacts;
  target: ServerFacts;
  /** Null: the applications don't ask Sentinels. */
  watchers: SentinelsSeen | null;
  /** Milliseconds. */
  maxPauseMs: number;
}

/** What a Sentinel needs at least, beyond the pause, to hear of a server again. */
const MARGIN_MS = 1_000;

export function sentinelsAgree(input: Watched): Check[] {
  const { watchers } = input;
  return watchers === null
    ? [nobodyWatches(input)]
    : [
        theyAnswer(watchers),
        theyWatchTheSource(input, watchers),
        nobodyElseWatches(input, watchers),
        theyAreAtRest(watchers),
        theyArePatient(input, watchers),
      ];
}

function nobodyWatches({ source, target }: Watched): Check {
  const seen = source.sentinels + target.sentinels;
  return check({
    name: 'No Sentinel watches either',
    expected: 'no Sentinel',
    actual: seen > 0 ? count(seen, 'connection') : 'none seen',
    ...(seen > 0
      ? {
          status: 'fail',
          waivable: true,
          next: 'Sentinels would undo the handover. Give them as `repoint`: {"kind": "sentinel", …}, or SENTINEL REMOVE the primary first, and MONITOR the new one afterwards.',
        }
      : {}),
  });
}

function theyAnswer({ facts, failures }: SentinelsSeen): Check {
  const deaf = facts.flatMap(({ shown: at, deaf: why }) =>
    why === null ? [] : [`the Sentinel at ${at} may not be told: ${why}`],
  );
  const problems = [...failures, ...deaf];
  return check({
    name: 'Every Sentinel can be told',
    expected: `${count(facts.length + failures.length, 'Sentinel')}, with PUBLISH permitted`,
    actual: problems.length === 0 ? 'all answer' : problems.join('; '),
    ...(problems.length === 0
      ? {}
      : {
          status: 'fail',
          next: 'Correct `repoint.sentinels`, or start those that do not run: one that was not told would go on naming the source.',
        }),
  });
}

function theyWatchTheSource({ source, target }: Watched, { primary, facts }: SentinelsSeen): Check {
  const elsewhere = facts.filter(({ primary: { runId } }) => runId !== source.runId);
  const addresses = new Set(facts.map(({ primary: at }) => shown(at)));
  const problems = [
    ...elsewhere.map(
      ({ shown: at, primary: other }) =>
        `the Sentinel at ${at} watches ${shown(other)}${other.runId === '' ? ', which it could not ask' : other.runId === target.runId ? ', the target' : ''}`,
    ),
    ...(elsewhere.length === 0 && addresses.size > 1
      ? [`they know it by several addresses: ${[...addresses].join(', ')}`]
      : []),
  ];
  return check({
    name: 'The Sentinels watch the source',
    expected: `${primary} is ${source.shown} for all of them`,
    actual: problems.length === 0 ? [...addresses].join(', ') || 'not known' : problems.join('; '),
    ...(problems.length === 0 && facts.length > 0
      ? {}
      : {
          status: 'fail',
          next: 'Give the server that they name as `source`, or the name of the primary as `repoint.primary`.',
        }),
  });
}

/** Any other would go on naming the source, or make one of the two follow somebody. */
function nobodyElseWatches({ source, target }: Watched, { primary, facts }: SentinelsSeen): Check {
  const ids = new Set(facts.map(({ id }) => id));
  const known = new Map(
    facts.flatMap(({ peers }) =>
      peers
        .filter(({ id }) => !ids.has(id))
        .map((peer) => [
          peer.id,
          `a Sentinel at ${shown(peer)}${unsettled(peer).length > 0 ? ' (it does not answer them)' : ''}`,
        ]),
    ),
  );
  const short = new Set([...ids, ...known.keys()].map((id) => id.slice(0, 8)));
  const strangers = [source, target].flatMap((server) =>
    server.sentinelIds
      .filter((id) => !short.has(id))
      .map((id) => `a Sentinel whose ID begins with ${id}, at ${server.shown}`),
  );
  const twice = facts.flatMap(({ shown: at, others }) =>
    others
      .filter((other) => is(other, source, facts) || is(other, target, facts))
      .map(({ name, ...other }) => `the Sentinel at ${at} watches ${shown(other)} as ${name} too`),
  );
  const same = facts.length === ids.size ? [] : ['two of the addresses given are one Sentinel'];
  const problems = [...known.values(), ...strangers, ...twice, ...same];
  return check({
    name: 'No other Sentinel watches either',
    expected: `those given, and only as ${primary}`,
    actual: problems.length === 0 ? `${count(ids.size, 'Sentinel')}, as given` : problems.join('; '),
    ...(problems.length === 0
      ? {}
      : {
          status: 'fail',
          waivable: true,
          next: 'Give all of them as `repoint.sentinels`. Of one that is gone for good the others are rid by SENTINEL RESET; SENTINEL REMOVE a second name.',
        }),
  });
}

function is(watched: WatchedServer, server: ServerFacts, facts: SentinelFacts[]): boolean {
  return (
    (watched.runId !== '' && watched.runId === server.runId) ||
    server.resolved.includes(shown(watched)) ||
    facts.some(({ primary }) => primary.runId === server.runId && isAt(primary, watched))
  );
}

function theyAreAtRest({ facts }: SentinelsSeen): Check {
  const problems = facts.flatMap(({ shown: at, primary, noQuorum }) => [
    ...(unsettled(primary).length > 0 ? [`${at} says "${unsettled(primary).join(', ')}"`] : []),
    ...(noQuorum === null ? [] : [`${at} says "${noQuorum}"`]),
  ]);
  const quorums = [...new Set(facts.map(({ primary }) => primary.quorum))];
  return check({
    name: 'The Sentinels are at rest',
    expected: 'nothing is down, no failover goes on, and a quorum is there',
    actual:
      problems.length > 0
        ? problems.join('; ')
        : quorums.length > 1
          ? `they want different quorums: ${quorums.join(', ')}`
          : `at rest, quorum ${quorums[0] ?? '?'}`,
    ...(problems.length > 0
      ? { status: 'fail', next: 'Wait until the failover has ended, or mend what they can not reach.' }
      : quorums.length > 1
        ? { status: 'warn', next: 'Give all of them the same (SENTINEL SET … quorum).' }
        : {}),
  });
}

/** A paused server does not answer a Sentinel's PUBLISH, nor what the Sentinel asks behind it. */
function theyArePatient({ maxPauseMs }: Watched, { facts }: SentinelsSeen): Check {
  const least = Math.min(...facts.map(({ primary }) => primary.downAfterMs));
  const enough = facts.length === 0 || least >= maxPauseMs + MARGIN_MS;
  return check({
    name: 'The Sentinels outwait the pause',
    expected: `down-after-milliseconds of at least ${maxPauseMs + MARGIN_MS}, with this \`maxPause\``,
    actual: facts.length === 0 ? 'not known' : String(least),
    ...(enough
      ? {}
      : {
          status: 'fail',
          waivable: true,
          next: 'They could take the paused source for dead. Shorten `maxPause`, or SENTINEL SET … down-after-milliseconds.',
        }),
  });
}

/** Looking at both servers before anything is touched. Only facts leave: no address with a password, no key. */
import type { Check } from '../contract.js';
import type { RedisCopySettings } from '../inputs/redis-copy.js';
import type { DatabaseMap, ServerAddress } from '../redis/address.js';
import { listJournals, pendingUndos } from '../platform/journal.js';
import { breakGlassPrefix } from '../redis/break-glass.js';
import { withClient } from '../redis/connect.js';
import { lookAtContents } from '../redis/contents.js';
import { describe, type ServerFacts } from '../redis/describe.js';
import { fenceBefore, unfenceByHand, type FenceBefore } from '../redis/fence.js';
import { highestFormat, type Formats } from '../redis/format.js';
import { connectionName } from '../redis/hands.js';
import { productOf } from '../redis/preflight/check.js';
import { carriesFunctions, holdOf, preflightCopy, stayBehind, type Hold } from '../redis/preflight/index.js';
import { isSameServer } from '../redis/preflight/places.js';
import { openSession } from '../redis/session.js';
import { chooseWay, type ChosenWay } from '../redis/ways.js';
import { servedDatabase } from '../repoint/types.js';
import { describeRepoint, preflightRepoint, repointByHand } from '../repoint/index.js';
import { border } from './border.js';
import { addressesOf } from './sides.js';

export interface Pair {
  source: ServerFacts;
  target: ServerFacts;
  formats: { source: Formats; target: Formats };
  /** Missing in histories of before there was a choice. */
  ways?: Ways;
  databases: DatabaseMap;
  /** What can hold writes at the source. */
  hold: Hold;
  /** What stays on the source, so that others use it. */
  others: string[];
  /** What the fence of the source has to put back; null where it isn't fenced. */
  fence: FenceBefore | null;
  /** redis-cli for each side, as shell words. */
  cli: { source: string; target: string };
  /** How the applications are told, for the plan. */
  repointSays: string[];
  /** Shell lines that bring service back to the source. */
  byHand: { unfence: string[]; repointBack: string[] };
}

/** How what is on the source goes over. */
export interface Ways {
  forward: ChosenWay;
  /** With the writes made since the switch. */
  back: ChosenWay;
  /** What the source has no place for, should it be written on the target: the way back would stop at it. */
  noWayBackFor: string[];
  /** Why the function libraries are not carried; empty when they are. */
  functionsStay: string;
}

export async function describePair({ settings }: { settings: RedisCopySettings }): Promise<Pair> {
  return border(async (b) => {
    const { source, target } = await addressesOf(settings);
    const name = connectionName(b.workflowId);
    const [from, to] = await Promise.all([
      describe({ address: source, name, signal: b.signal }),
      describe({ address: target, name, signal: b.signal }),
    ]);
    // Names of changed keys come without their database: what is written to the target would look like a change of the source.
    if (isSameServer(from, to)) {
      from.can.tracking = false;
      from.why.tracking = 'source and target are one server, and changes are not told by database';
    }
    const look = async (address: typeof source): Promise<{ formats: Formats; fieldExpiry: boolean }> => {
      const session = await openSession({ server: address, name, signal: b.signal });
      try {
        return { formats: await highestFormat(session.connection), fieldExpiry: session.fieldExpiry };
      } finally {
        session.close();
      }
    };
    const [atSource, atTarget] = [await look(source), await look(target)];
    const ends = {
      source: { product: productOf(from), formats: atSource.formats, can: from.can },
      target: { product: productOf(to), formats: atTarget.formats, can: to.can },
    };
    const wish = settings.way === 'none' ? 'auto' : settings.way;
    const databases = databasesOf({ settings, source: from, target: to });
    const hold = holdOf({ source: from, target: to, settings, databases });
    const fence =
      hold.fence === null || from.role !== 'primary'
        ? null
        : await withClient({ address: source, name, signal: b.signal }, (client) => fenceBefore({ client }));
    return {
      source: from,
      target: to,
      formats: { source: atSource.formats, target: atTarget.formats },
      ways: {
        forward: chooseWay({ from: ends.source, to: ends.target, wish }),
        back: chooseWay({ from: ends.target, to: ends.source, wish: 'auto' }),
        noWayBackFor:
          atTarget.fieldExpiry && !atSource.fieldExpiry
            ? ['hash fields that were given an expiry since']
            : [],
        functionsStay: carriesFunctions({ settings, sameServer: isSameServer(from, to) }),
      },
      databases,
      hold,
      others: stayBehind({ source: from, settings, databases }),
      fence,
      ...inWords({ settings, source, target, databases, fence }),
    };
  });
}

/** The commands that bring service back to the source, and how the applications are told. */
export function inWords(on: {
  settings: RedisCopySettings;
  source: ServerAddress;
  target: ServerAddress;
  databases: DatabaseMap;
  fence: FenceBefore | null;
}): Pick<Pair, 'cli' | 'repointSays' | 'byHand'> {
  const { settings, source, target, databases, fence } = on;
  const cli = {
    source: breakGlassPrefix({ address: source, endpoint: settings.source }),
    target: breakGlassPrefix({ address: target, endpoint: settings.target }),
  };
  const serving = { address: source, database: servedDatabase({ map: databases, direction: 'back' }) };
  return {
    cli,
    repointSays: settings.repoint ? describeRepoint(settings.repoint) : [],
    byHand: {
      unfence: fence ? unfenceByHand(fence).map((line) => `${cli.source} ${line}`) : [],
      repointBack: settings.repoint
        ? repointByHand({
            spec: settings.repoint,
            direction: 'back',
            name: settings.name,
            serving,
            endpoint: settings.source,
          })
        : [],
    },
  };
}

export async function preflight({
  settings,
  pair,
}: {
  settings: RedisCopySettings;
  pair: Pair;
}): Promise<Check[]> {
  return border(async (b) => {
    const { source, target } = await addressesOf(settings);
    const { formats, databases } = pair;
    const contents = await lookAtContents({
      source,
      target,
      databases,
      match: settings.match,
      way: pair.ways?.forward.chosen ?? 'dump',
      modules: { source: pair.source.modules, target: pair.target.modules },
      rate: () => settings.rate,
      limitMs: LOOK_MS,
      name: b.hand,
      signal: b.signal,
    });
    const { repoint: spec } = settings;
    const told = spec ? await preflightRepoint({ spec, source, signal: b.signal }) : [];
    const checks = preflightCopy({
      source: pair.source,
      target: pair.target,
      settings,
      formats: { sourceWrites: formats.source.highest, targetAccepts: formats.target.accepts },
      contents,
      databases,
      own: connectionName(b.workflowId),
      notUndone: (await listJournals({ workflowId: b.workflowId })).flatMap(({ runId, entries }) =>
        runId === b.runId ? [] : pendingUndos(entries).map(({ title }) => title),
      ),
    });
    return [...checks, ...told];
  });
}

/** How long keys are looked at for what can't be carried, where there is a reason to. */
const LOOK_MS = 120_000;

/**
 * By default every database, to the same number: also the empty ones, which an application may begin to use meanwhile. One that
 * is empty at the source and not at the target is somebody else's and left alone.
 */
export function databasesOf({
  settings,
  source,
  target,
}: {
  settings: RedisCopySettings;
  source: ServerFacts;
  target: ServerFacts;
}): DatabaseMap {
  if (settings.databases)
    return Object.entries(settings.databases).map(([from, to]) => [Number(from), to] as const);
  const keysIn = (facts: ServerFacts, number: number) => facts.databases[number]?.keys ?? 0;
  const count = Math.min(source.databaseCount ?? 16, target.databaseCount ?? 16);
  return Array.from({ length: count }, (_, number) => [number, number] as const).filter(
    ([number]) => keysIn(source, number) > 0 || keysIn(target, number) === 0,
  );
}

/** What every activity that touches both servers is told: references and settings, never addresses or passwords. */
import type { RedisEndpoint } from '../inputs/refs.js';
import type { Rate } from '../inputs/redis-copy.js';
import { resolveEndpoint } from '../platform/secrets.js';
import type { DatabaseMap, ServerAddress } from '../redis/address.js';
import type { TargetKeys, Way } from '../redis/transfer.js';

export interface Sides {
  source: RedisEndpoint;
  target: RedisEndpoint;
  databases: DatabaseMap;
  match: string;
  ifTargetHasKeys: TargetKeys;
  /** How values go over, and back; missing in journals of before there was a choice. */
  way?: Way | undefined;
  wayBack?: Way | undefined;
  /**
   * Function libraries are carried too, but for those named in `leave` (`leaveBack` on the way back). `own`: what the target had
   * before, which no undo removes. Missing: none are carried.
   */
  functions?: { own: string[]; leave: string[]; leaveBack: string[] } | undefined;
  /** Bytes. */
  bigKey: number;
  rate: Rate;
  /** Whether the source tells which keys change. */
  track: boolean;
  /** The target is a replica of the source: nothing is written to it. */
  replicated?: boolean | undefined;
  /** Log every batch on the worker. */
  debug: boolean;
}

/** The debug log: counts and cursors, never keys or values. It goes to stderr whatever FERRY_LOG says, since it was asked for. */
export function debugLog(
  sides: Pick<Sides, 'debug'>,
  workflowId: string,
  what: string,
  counts: object,
): void {
  if (sides.debug)
    console.error(`${new Date().toISOString()} DEBUG ${workflowId} ${what} ${JSON.stringify(counts)}`);
}

export async function addressesOf(
  sides: Pick<Sides, 'source' | 'target'>,
): Promise<{ source: ServerAddress; target: ServerAddress }> {
  return {
    source: await resolveEndpoint({ endpoint: sides.source, where: 'source' }),
    target: await resolveEndpoint({ endpoint: sides.target, where: 'target' }),
  };
}

/** The way from the target to the source. */
export function mirrored(sides: Sides): Sides {
  const { functions } = sides;
  return {
    ...sides,
    source: sides.target,
    target: sides.source,
    databases: reversed(sides.databases),
    ifTargetHasKeys: sides.ifTargetHasKeys === 'refuse' ? 'refuse' : 'replace',
    way: sides.wayBack,
    wayBack: sides.way,
    functions: functions && { own: [], leave: functions.leaveBack, leaveBack: functions.leave },
  };
}

/** The same two servers seen from the other end. */
function reversed(databases: DatabaseMap): DatabaseMap {
  return databases.map(([source, target]) => [target, source]);
}

/**
 * Whether a target can hold anything that the source doesn't, told by numbers alone: where every key of the source was found at the
 * target, both have equally many, and nothing came or went meanwhile, there is nothing extra to look for.
 */
import { asNumber, asText, ReplyError } from './resp.js';
import type { Pair, Session } from './session.js';
import type { Tracker } from './tracker.js';

/** Of the selected databases of both sides, at a moment. */
export interface Census {
  source: Count;
  target: Count;
}

interface Count {
  keys: number;
  /** Keys that expired or were evicted since the server's start, in all databases. */
  removed: string;
}

/** Null where a server doesn't tell. */
export async function takeCensus({ source, target }: Pair): Promise<Census | null> {
  const [here, there] = await Promise.all([count(source), count(target)]);
  return here && there ? { source: here, target: there } : null;
}

async function count({ connection }: Session): Promise<Count | null> {
  const [size, stats] = await connection.pipeline([['DBSIZE'], ['INFO', 'stats']]);
  if (size instanceof ReplyError || stats instanceof ReplyError || stats === undefined) return null;
  const field = (name: string): string => new RegExp(`^${name}:(\\d+)`, 'm').exec(asText(stats))?.[1] ?? '?';
  return { keys: asNumber(size), removed: `${field('expired_keys')} ${field('evicted_keys')}` };
}

/** `found`: how many keys of the source were found at the target between the two. `tracker` knows of no change since the first. */
export async function nothingExtra(on: {
  before: Census;
  pair: Pair;
  found: number;
  tracker: Tracker;
}): Promise<boolean> {
  const { before, pair, found, tracker } = on;
  const after = await takeCensus(pair);
  await tracker.barrier();
  return (
    after !== null &&
    after.source.keys === found &&
    after.target.keys === found &&
    after.source.removed === before.source.removed &&
    after.target.removed === before.target.removed &&
    tracker.lost() === null &&
    tracker.pending() === 0
  );
}

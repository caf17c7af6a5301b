/** The standard data set, and whether a copy of it is exact. */
import type { RunningRedis } from '../src/setup/servers.js';
import { runTool } from './child.js';
import type { Place } from './place.js';

const BYTES = 100;

/** In words, for whoever reads results. */
export function described(strings: number): string {
  return `${strings.toLocaleString('en')} strings of 100 bytes, ${Math.round(strings / 50).toLocaleString('en')} hashes, a list, a set and a sorted set of 50,000 elements, a stream of 10,000 entries, a hash of 100,000 fields, a string of 10 MB; one string and one hash in ten with an expiry`;
}

/** A source that holds the data set. */
export async function standardSource(place: Place): Promise<RunningRedis & { keys: number }> {
  // A full sync would otherwise wait 5 s for further replicas before it begins.
  const source = await place.start('from', ['--repl-diskless-sync-delay', '0']);
  place.say(`seeding ${place.keys.toLocaleString('en')} strings and what goes with them …`);
  const { facts } = await runTool('seed', {
    port: source.port,
    strings: place.keys,
    bytes: BYTES,
    others: true,
  });
  return { ...source, keys: facts.keys };
}

/** Null when the target holds exactly what the source holds, else what differs. */
export async function differenceOf(sides: {
  from: number;
  to: number;
}): Promise<{ says: string | null; ttlDrift: number }> {
  const { facts } = await runTool('verify', sides);
  const { sameSize, otherValues, otherTtls, ttlDrift } = facts;
  const says = [
    ...(sameSize ? [] : ['another number of keys']),
    ...(otherValues === 0 ? [] : [`${otherValues} other values`]),
    ...(otherTtls === 0 ? [] : [`${otherTtls} other expiries (by up to ${ttlDrift} ms)`]),
  ];
  return { ttlDrift, says: says.length > 0 ? says.join(', ') : null };
}

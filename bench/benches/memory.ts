/** What copying and comparing take of memory, with 0.2 GB and with 2 GB of data. */
import { runTool } from '../child.js';
import { atMost, collect, inTurn, mediansOf, ratiosOf, rounded, type Result } from '../measure.js';
import type { Place } from '../place.js';

/** Bytes a string. */
const EACH = 1_000;
const SIZES = { '0.2 GB': 200_000, '2 GB': 2_000_000 } as const;

export async function memory(place: Place): Promise<Result> {
  const used = collect();
  let exact = true;
  const sources = new Map<string, number>();
  for (const [size, strings] of Object.entries(SIZES)) {
    place.say(`seeding ${size} …`);
    const source = await place.start('from');
    await runTool('seed', { port: source.port, strings, bytes: EACH, others: false });
    sources.set(size, source.port);
  }
  for (let round = 0; round < place.rounds; round += 1) {
    for (const size of inTurn(Object.keys(SIZES), round)) {
      const target = await place.start('to');
      const ports = { from: sources.get(size) ?? 0, to: target.port };
      const copied = await runTool('ferry copy', { ...ports, rate: 'full' });
      const compared = await runTool('ferry compare', ports);
      await target.kill9();
      const { keys, missing, extra, type, value, ttl } = compared.facts;
      exact &&= keys === copied.facts.keys && missing + extra + type + value + ttl === 0;
      used.add(`copy of ${size}`, copied.rssMB);
      used.add(`comparison of ${size}`, compared.rssMB);
      place.say(
        `round ${round + 1}: ${size}: copy ${copied.rssMB.toFixed(0)} MB, comparison ${compared.rssMB.toFixed(0)} MB`,
      );
    }
  }
  const ratios = ratiosOf(used.samples, [
    ['copy of 2 GB', 'copy of 0.2 GB'],
    ['comparison of 2 GB', 'comparison of 0.2 GB'],
  ]);
  const most = Math.max(...[...used.samples.values()].flat());
  return {
    name: 'memory',
    rounds: place.rounds,
    medians: mediansOf(used.samples),
    unit: 'MB',
    ratios,
    exact,
    goals: [
      ...Object.entries(ratios).flatMap(([says, ratio]) => atMost(says, ratio, 1.25)),
      ...atMost('the most of all, MB', most, 150),
    ],
    more: { 'the most of all, MB': rounded(most) },
  };
}

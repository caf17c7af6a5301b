/** The comparison beside the copy; and that it sees what differs. */
import { Redis } from 'ioredis';
import { runTool } from '../child.js';
import { standardSource } from '../data.js';
import { atLeast, collect, mediansOf, ratiosOf, rounded, type Result } from '../measure.js';
import type { Place } from '../place.js';

export async function compare(place: Place): Promise<Result> {
  const source = await standardSource(place);
  const speed = collect();
  let memory = 0;
  let exact = true;
  for (let round = 0; round < place.rounds; round += 1) {
    const target = await place.start('to');
    const ports = { from: source.port, to: target.port };
    const { facts, rssMB, cpuSeconds } = await runTool('ferry both', ports);
    const { keys, missing, extra, type, value, ttl } = facts.compared;
    const clean = keys === facts.copied.keys && missing + extra + type + value + ttl === 0;
    const seen = await seesDifferences(ports);
    exact &&= clean && seen;
    await target.kill9();
    speed.add('copy', facts.copied.keys / (facts.copyMs / 1000));
    speed.add('compare', keys / (facts.compareMs / 1000));
    memory = Math.max(memory, rssMB);
    place.say(
      `round ${round + 1}: compared ${perSecond(keys, facts.compareMs)} keys/s, copied ${perSecond(facts.copied.keys, facts.copyMs)}, ${rssMB.toFixed(0)} MB, ${cpuSeconds.toFixed(2)} s of CPU for both${clean ? '' : '; a clean copy was called different'}${seen ? '' : '; planted differences were not seen'}`,
    );
  }
  const ratios = ratiosOf(speed.samples, [['compare', 'copy']]);
  return {
    name: 'compare',
    rounds: place.rounds,
    medians: mediansOf(speed.samples),
    unit: 'keys/s',
    ratios,
    exact,
    goals: atLeast('compare/copy', ratios['compare/copy'], 1),
    more: { 'memory, MB': rounded(memory) },
  };
}

/** One difference of each kind among all the keys, which have to be counted, each as what it is. */
async function seesDifferences(ports: { from: number; to: number }): Promise<boolean> {
  const target = new Redis(ports.to, '127.0.0.1');
  const key = (n: number): string => `session:${n.toString(36).padStart(8, '0')}`;
  await target.del(key(1));
  await target.set('bench:extra', 'x');
  await target.call('SETRANGE', key(2), 99, '~~');
  await target.pexpire(key(3), 1_000_000_000);
  await target.del(key(4));
  await target.rpush(key(4), 'x');
  target.disconnect();
  const { facts } = await runTool('ferry compare', ports);
  const { missing, extra, value, ttl, type } = facts;
  return missing === 1 && extra === 1 && value === 1 && ttl === 1 && type === 1;
}

function perSecond(keys: number, ms: number): string {
  return rounded(keys / (ms / 1000)).toLocaleString('en');
}

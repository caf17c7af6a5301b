/** The copy at full speed beside its references, in turn, each into an empty server. */
import { which } from '../../src/setup/run.js';
import { runTool, type Measured } from '../child.js';
import { differenceOf, standardSource } from '../data.js';
import {
  atLeast,
  atMost,
  collect,
  inTurn,
  mediansOf,
  median,
  ratiosOf,
  rounded,
  type Result,
} from '../measure.js';
import type { Place } from '../place.js';
import type { Ports } from '../tools/index.js';

const REFERENCES = ['replicaof', 'migrate', 'ioredis', 'redis-shake'] as const;

export async function copy(place: Place): Promise<Result> {
  const source = await standardSource(place);
  const tools: Record<string, (ports: Ports) => Promise<Measured<object>>> = {
    ferry: (ports) => runTool('ferry copy', { ...ports, rate: 'full' }),
  };
  for (const name of REFERENCES)
    if (name !== 'redis-shake' || which(name) !== null) tools[name] = (ports) => runTool(name, ports);

  const speed = collect();
  const memory = collect();
  const cpu = collect();
  const drift = collect();
  let exact = true;
  for (let round = 0; round < place.rounds; round += 1) {
    for (const name of inTurn(Object.keys(tools), round)) {
      const target = await place.start('to');
      const ports = { from: source.port, to: target.port };
      const measured = await tools[name]!(ports);
      if (name === 'replicaof') await detach(target.port);
      // The references are looked at once; what they are measured by is their speed.
      const { says, ttlDrift } =
        name === 'ferry' || round === 0 ? await differenceOf(ports) : { says: null, ttlDrift: 0 };
      await target.kill9();
      const perSecond = source.keys / (measured.ms / 1000);
      speed.add(name, perSecond);
      memory.add(name, measured.rssMB);
      cpu.add(name, measured.cpuSeconds);
      drift.add(name, ttlDrift);
      if (name === 'ferry') exact &&= says === null;
      place.say(
        `round ${round + 1}: ${name.padEnd(11)} ${rounded(perSecond).toLocaleString('en').padStart(9)} keys/s, ${measured.rssMB.toFixed(0)} MB, ${measured.cpuSeconds.toFixed(2)} s of CPU${says === null ? '' : `: ${says}`}`,
      );
    }
  }
  const ratios = ratiosOf(
    speed.samples,
    Object.keys(tools)
      .filter((name) => name !== 'ferry')
      .map((name) => ['ferry', name] as const),
  );
  const most = (list: readonly number[] | undefined): number => Math.max(...(list ?? []));
  return {
    name: 'copy',
    rounds: place.rounds,
    medians: mediansOf(speed.samples),
    unit: 'keys/s',
    ratios,
    exact,
    goals: [
      ...atLeast('ferry/ioredis', ratios['ferry/ioredis'], 2.5),
      ...atLeast('ferry/migrate', ratios['ferry/migrate'], 1.8),
      ...atLeast('ferry/replicaof', ratios['ferry/replicaof'], 0.65),
      ...atMost("the copy's memory, MB", most(memory.samples.get('ferry')), 150),
    ],
    more: {
      'ferry: memory, MB': rounded(most(memory.samples.get('ferry'))),
      'ferry: CPU, s': rounded(median(cpu.samples.get('ferry') ?? [])),
      ...Object.fromEntries(
        [...drift.samples].flatMap(([name, list]) =>
          most(list) > 0 ? [[`${name}: expiries off by up to, ms`, most(list)]] : [],
        ),
      ),
    },
  };
}

async function detach(port: number): Promise<void> {
  const { Redis } = await import('ioredis');
  const target = new Redis(port, '127.0.0.1');
  await target.call('REPLICAOF', 'NO', 'ONE');
  target.disconnect();
}

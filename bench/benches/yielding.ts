/**
 * What an application notices of a copy at the default rate: its p99 with 2,000 requests a second, with and without. Where the
 * system allows it, the source has a core of its own and the application goes before the tool, as if each had its own machine:
 * else the figure is that of the machine's scheduler.
 */
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { runTool, startTool } from '../child.js';
import { standardSource } from '../data.js';
import { atMost, collect, inTurn, mediansOf, median, ratiosOf, rounded, type Result } from '../measure.js';
import type { Place } from '../place.js';

const PER_SECOND = 2_000;
const FOR_MS = 10_000;
/** The copy begins before the measuring and ends after it. */
const AROUND_MS = 1_500;

export async function yielding(place: Place): Promise<Result> {
  const source = await standardSource(place);
  // Once bound, a process is told of no more cores than those.
  const last = availableParallelism() - 1;
  const others = `1-${last}`;
  const pinned = last > 0 && pin(source.pid, '0') && pin(process.pid, others);
  place.finally(() => void pin(process.pid, `0-${last}`));
  const app = { port: source.port, perSecond: PER_SECOND, forMs: FOR_MS, keys: place.keys };
  // Connections and code are warm in neither of the two, or in both.
  await runTool('application', { ...app, forMs: 2_000 });
  const p99 = collect();
  const speed: number[] = [];
  for (let round = 0; round < place.rounds; round += 1) {
    for (const name of inTurn(['alone', 'while copying'], round)) {
      const target = await place.start('to');
      if (pinned) pin(target.pid, others);
      const ports = { from: source.port, to: target.port };
      const copying =
        name === 'alone'
          ? null
          : startTool('ferry copy', { ...ports, rate: 'yield', forMs: FOR_MS + 2 * AROUND_MS });
      if (copying) await pause(AROUND_MS);
      const measured = await runTool('application', app);
      const copied = await copying?.ended;
      await target.kill9();
      const { facts } = measured;
      p99.add(name, facts.p99);
      const perSecond = copied ? copied.facts.keys / (copied.ms / 1000) : null;
      if (perSecond !== null) speed.push(perSecond);
      place.say(
        `round ${round + 1}: ${name.padEnd(13)} p50 ${facts.p50.toFixed(2)} ms, p99 ${facts.p99.toFixed(2)} ms, max ${facts.max.toFixed(1)} ms, ${facts.requests} requests, ${facts.late} late${perSecond === null ? '' : `; copied ${rounded(perSecond).toLocaleString('en')} keys/s${copied?.facts.done ? ', all of them before the end' : ''}`}`,
      );
    }
  }
  const ratios = ratiosOf(p99.samples, [['while copying', 'alone']]);
  return {
    name: 'yield',
    rounds: place.rounds,
    medians: mediansOf(p99.samples),
    unit: 'ms (p99)',
    ratios,
    exact: null,
    goals: atMost('while copying/alone', ratios['while copying/alone'], 2),
    more: {
      'the source on a core of its own': pinned ? 'yes' : 'no',
      'copied meanwhile, keys/s': rounded(median(speed)),
    },
  };
}

/** Binds a process to cores; what it starts later inherits that. False where the system doesn't do that. */
function pin(pid: number, cores: string): boolean {
  try {
    execFileSync('taskset', ['-a', '-cp', cores, String(pid)], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

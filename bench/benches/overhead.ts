/**
 * What durability costs: a whole upgrade (Temporal, gates that open by themselves, copy, comparison, the switch with a file that is
 * repointed, no watch for stragglers) beside the bare copy and comparison in one process, in turn.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { workflowIdOf, type Receipt } from '../../src/contract.js';
import type { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import { runTool } from '../child.js';
import { differenceOf, standardSource } from '../data.js';
import { atMost, collect, inTurn, mediansOf, ratiosOf, rounded, type Result } from '../measure.js';
import type { Place } from '../place.js';
import { newTaskQueue, startWorker, temporal, untilPolling } from '../upgrade.js';

export async function overhead(place: Place): Promise<Result> {
  const source = await standardSource(place);
  const { address, client } = await temporal(place);
  const took = collect();
  let memory = 0;
  let exact = true;

  async function bare(to: number): Promise<number> {
    const ports = { from: source.port, to };
    return (await runTool('ferry both', ports)).ms / 1000;
  }

  async function whole(to: number, round: number): Promise<number> {
    const taskQueue = newTaskQueue();
    const child = startWorker({
      place,
      address,
      taskQueue,
      env: { OLD_REDIS_URL: `redis://127.0.0.1:${source.port}`, NEW_REDIS_URL: `redis://127.0.0.1:${to}` },
    });
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.stderr?.resume();
    await untilPolling({ client, taskQueue, child });
    const name = `bench-${round}-${taskQueue}`;
    const input: RedisCopyInput = {
      name,
      source: { env: 'OLD_REDIS_URL' },
      target: { env: 'NEW_REDIS_URL' },
      writes: 'running',
      rate: 'full',
      watch: '0s',
      gates: { start: 'auto', cutover: 'auto' },
      repoint: { kind: 'file', path: join(place.folder, 'redis-url') },
    };
    const began = performance.now();
    const receipt = (await client.workflow.execute('redisCopy', {
      taskQueue,
      workflowId: workflowIdOf('redisCopy', name),
      args: [input],
    })) as Receipt;
    const seconds = (performance.now() - began) / 1000;
    if (receipt.outcome !== 'Completed') throw new Error(`the upgrade ended ${receipt.outcome}`);
    memory = Math.max(memory, peakOf(child.pid ?? 0));
    child.kill('SIGKILL');
    await gone;
    return seconds;
  }

  for (let round = 0; round < place.rounds; round += 1) {
    for (const way of inTurn(['bare', 'upgrade'], round)) {
      const target = await place.start('to');
      const seconds = way === 'bare' ? await bare(target.port) : await whole(target.port, round);
      const { says } = await differenceOf({ from: source.port, to: target.port });
      exact &&= says === null;
      await target.kill9();
      took.add(way, seconds);
      place.say(
        `round ${round + 1}: ${way.padEnd(7)} ${seconds.toFixed(2)} s${says === null ? '' : `: ${says}`}`,
      );
    }
  }
  const ratios = ratiosOf(took.samples, [['upgrade', 'bare']]);
  return {
    name: 'overhead',
    rounds: place.rounds,
    medians: mediansOf(took.samples),
    unit: 's',
    ratios,
    exact,
    goals: atMost('upgrade/bare', ratios['upgrade/bare'], 1.3),
    more: { "the worker's memory with Temporal in it, MB": rounded(memory) },
  };
}

/** The most memory that a process ever had, MB; NaN where the system doesn't tell. */
function peakOf(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  } catch {
    return Number.NaN;
  }
}

/** How long a worker takes from its start until Temporal gives it work. */
import { atMost, collect, mediansOf, type Result } from '../measure.js';
import type { Place } from '../place.js';
import { newTaskQueue, startWorker, temporal, untilPolling } from '../upgrade.js';

/** Starts are short. */
const TIMES_A_ROUND = 3;

export async function ready(place: Place): Promise<Result> {
  const { address, client } = await temporal(place);
  const took = collect();
  for (let round = 0; round < place.rounds * TIMES_A_ROUND; round += 1) {
    const taskQueue = newTaskQueue();
    const began = performance.now();
    const child = startWorker({ place, address, taskQueue });
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.stderr?.resume();
    await untilPolling({ client, taskQueue, child });
    const seconds = (performance.now() - began) / 1000;
    took.add('worker', seconds);
    child.kill('SIGKILL');
    await gone;
    place.say(`start ${round + 1}: ${seconds.toFixed(2)} s`);
  }
  const medians = mediansOf(took.samples);
  return {
    name: 'ready',
    rounds: place.rounds,
    medians,
    unit: 's',
    ratios: {},
    exact: null,
    goals: atMost('a worker is ready after, s', medians['worker'], 1),
    more: {},
  };
}

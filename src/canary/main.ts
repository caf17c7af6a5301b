/** The process of a canary. Started by start.ts, detached; see facts.ts. */
import { readFile, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeAtomically } from '../platform/files.js';
import type { CanaryFacts, CanaryOrder } from './facts.js';
import { startWriter } from './writer.js';

/** However long the switch takes. */
const LIFE_MS = 10 * 60_000;
/** How long it goes on once it was told to end: what follows the switch is seen too. */
const AFTER_MS = 500;
const FIRST_WRITE_MS = 5_000;
const READ_BACK_MS = 8_000;
const LOOK_EVERY_MS = 50;
const TELL_EVERY_MS = 1_000;

async function live(order: CanaryOrder): Promise<void> {
  const writer = startWriter(order);
  const began = performance.now();
  let because = '';
  // Whatever hangs: no process is left.
  setTimeout(() => process.exit(1), LIFE_MS + 60_000);

  async function tell(state: CanaryFacts['state']): Promise<void> {
    const facts: CanaryFacts = {
      id: order.id,
      host: hostname(),
      pid: process.pid,
      state,
      at: Date.now(),
      ...writer.facts,
      because,
      points: state === 'done' ? writer.points() : [],
    };
    await writeAtomically({ path: order.facts, content: `${JSON.stringify(facts)}\n`, mode: 0o600 });
  }

  let asked = false;
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => (asked = true));
  let told = performance.now() - TELL_EVERY_MS;
  let ends: number | null = null;
  let known: CanaryFacts['state'] = 'starting';
  while (ends === null || performance.now() < ends) {
    const now = performance.now();
    const state = writer.facts.acknowledged > 0 ? 'running' : 'starting';
    if (state !== known || now - told > TELL_EVERY_MS) {
      known = state;
      told = now;
      await tell(state);
    }
    const standing = asked || now - began > LIFE_MS ? 'alone' : await standingOf(order);
    if (standing === 'alone') break;
    if (standing === 'end') ends ??= now + AFTER_MS;
    if (writer.hopeless() && now - began > FIRST_WRITE_MS) {
      because = `it could not write: ${Object.keys(writer.facts.errorKinds).join(', ') || 'no connection'}`;
      break;
    }
    await sleep(LOOK_EVERY_MS);
  }
  await writer.stop();
  if (because === '' && writer.facts.acknowledged === 0) because = 'it had no time to write';
  if (writer.facts.acknowledged > 0) {
    await writer.readBack(READ_BACK_MS).catch(() => {
      because = 'it could not read back what it had written';
    });
  }
  if (writer.facts.acknowledged + writer.facts.unanswered > 0) await writer.remove();
  writer.close();
  await tell('done');
  await rm(order.told, { force: true });
}

/** "alone" when nobody is there any more who switches. */
async function standingOf({ told, leaseMs }: CanaryOrder): Promise<'run' | 'end' | 'alone'> {
  try {
    const { mtimeMs } = await stat(told);
    if (Date.now() - mtimeMs > leaseMs) return 'alone';
    return (await readFile(told, 'utf8')).startsWith('end') ? 'end' : 'run';
  } catch {
    return 'alone';
  }
}

const order = await text(process.stdin);
// Whoever started it died before it said what for.
if (order === '') process.exit(0);
await live(JSON.parse(order) as CanaryOrder).then(
  () => process.exit(0),
  () => process.exit(1),
);

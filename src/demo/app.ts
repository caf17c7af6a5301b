/**
 * The demo's application: it takes its Redis from a file, keeps writing, and notes every write that was acknowledged. It knows
 * nothing of Redis Ferry. What makes it movable is what any application should do: when a connection ends or a write is refused it
 * reads the address again, connects, and sends again what was not acknowledged.
 */
import { appendFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { acknowledged, ledgerLine, paths, readLedger, TILLS, writeOf, type Write } from './orders.js';
import { writeWhole } from './folder.js';

/** Between two writes of one till, in milliseconds. */
const BUSY = 10;
/** After ten minutes or so the shop grows quiet: a demo left open over night should not fill the disk. */
const BUSY_UNTIL = 60_000;
const QUIET = 500;

const folder = process.argv[2] ?? '.';
const files = paths(folder);

interface Serving {
  client: Redis;
  /** `host:port`. */
  where: string;
}

let serving: Promise<Serving> | null = null;
/** The server that acknowledged last. */
let lastWhere = '';
/** The longest that a write had to wait from one server to the other, in milliseconds. */
let switchWait: number | null = null;

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit(0));

if (!existsSync(files.ledger)) writeFileSync(files.ledger, '', { mode: 0o600 });
// Half a line, when the disk was full or the machine went down.
const whole = acknowledged(folder) * ledgerLine(0, 0).length;
if (readFileSync(files.ledger).length !== whole) truncateSync(files.ledger, whole);

const before = readLedger(folder);
await Promise.all(TILLS.map((till) => sell(till, (before.get(till) ?? 0) + 1)));

async function sell(till: number, first: number): Promise<void> {
  let next = performance.now();
  for (let number = first; ; number += 1) {
    await untilAcknowledged(writeOf(till, number));
    appendFileSync(files.ledger, ledgerLine(till, number));
    next = Math.max(next + (number < BUSY_UNTIL ? BUSY : QUIET), performance.now());
    await pause(Math.max(0, next - performance.now()));
  }
}

async function untilAcknowledged(write: Write): Promise<void> {
  const began = performance.now();
  const beganAt = lastWhere;
  for (;;) {
    const attempt = (serving ??= connect());
    try {
      const { client, where } = await attempt;
      await send(client, write);
      if (beganAt !== '' && where !== beganAt) waited(Math.round(performance.now() - began));
      if (where !== lastWhere) {
        lastWhere = where;
        tell();
      }
      return;
    } catch {
      // Refused, cut off or out of time: whatever it was, the file knows where to go.
      if (serving === attempt) {
        serving = null;
        void attempt.then(({ client }) => client.disconnect()).catch(() => undefined);
      }
      await pause(20);
    }
  }
}

async function connect(): Promise<Serving> {
  const url = readFileSync(files.address, 'utf8').trim();
  // An empty one would be taken for the usual port, where something else may run.
  if (url === '') throw new Error('no address');
  const client = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 2_000,
    // Longer than any pause of writes: a server that is merely held still answers.
    commandTimeout: 8_000,
    connectionName: 'shop',
    // This program itself connects and sends again, by the file.
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
  });
  client.on('error', () => undefined);
  await client.connect();
  return { client, where: new URL(url).host };
}

async function send(client: Redis, write: Write): Promise<void> {
  switch (write.kind) {
    case 'order':
      await client.set(write.key, write.value);
      return;
    case 'latest':
      await client.hset(write.key, write.field, write.value);
      return;
    case 'count':
      await client.incr(write.key);
  }
}

function waited(ms: number): void {
  switchWait = Math.max(switchWait ?? 0, ms);
  tell();
}

function tell(): void {
  writeWhole(files.status, JSON.stringify({ serving: lastWhere, switchWait }));
}

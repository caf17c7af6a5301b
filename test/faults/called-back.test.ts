/* The applications could not all be told, some had written on the other side, and the worker dies while that is carried back. */
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { sleep, world } from '../support/world.js';
import { kill9 } from './support.js';

/** Large enough that carrying it takes a while. In bytes. */
const LARGE = 150_000_000;

test(
  'it is said before anything is carried over what only the other side has',
  { timeout: 180_000 },
  async () => {
    const w = await world();
    onTestFinished(() => w.close());
    await w.startWorker();
    const source = w.redis('source');
    await source.set('a', '1');
    const cli = process.execPath;
    // Some move and write; then the others can't be told.
    const moved = `const { createConnection } = require("node:net");
    const s = createConnection(Number(process.env.FERRY_PORT), "127.0.0.1", () => s.write("SETRANGE large ${LARGE} x\\r\\nSET moved 1\\r\\nQUIT\\r\\n"));
    s.resume().on("close", () => process.exit(process.env.FERRY_DIRECTION === "forward" ? 1 : 0));`;
    const upgrade = await w.start({
      gates: { start: 'auto', cutover: 'auto' },
      repoint: {
        kind: 'command',
        command: `test "$FERRY_DIRECTION" = back || ${cli} -e '${moved}'`,
      },
    });
    const target = new Redis(w.targetUrl);
    onTestFinished(() => target.disconnect());
    await expect.poll(() => target.get('moved'), { interval: 3, timeout: 60_000 }).toBe('1');
    // Writes are refused, or held, until its fence is lifted.
    for (;;) {
      if ((await source.set('mine', '1').catch(() => 'no')) === 'OK') break;
      await sleep(3);
    }
    await kill9(w.worker);
    await w.startWorker();
    const { decision } = await upgrade.until('NeedsDecision');
    expect(decision?.problem).toContain('some of them may be on 127.0.0.1');
    expect(await target.get('moved')).toBe('1');
    await upgrade.say('decide', { choice: 'rollback', by: 'ada' });
    const { decision: again } = await upgrade.until(
      (state) => state.phase === 'NeedsDecision' && state.decision?.about.startsWith('Undo') === true,
    );
    expect(again?.problem).toContain('some of them may be on 127.0.0.1');
    expect(await target.get('moved')).toBe('1');
    // They are given up by a person, and by nobody else.
    await upgrade.say('decide', { choice: 'retry', by: 'ada' });
    expect(await upgrade.ended()).toMatchObject({ outcome: 'RolledBack' });
  },
);

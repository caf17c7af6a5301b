/* Applications behind a real HAProxy, moved forth and back. */
import { writeFile } from 'node:fs/promises';
import { expect, inject, onTestFinished, test } from 'vitest';
import { handOver } from '../../../src/redis/replication/handover.js';
import { repoint } from '../../../src/repoint/index.js';
import { startHaproxy } from '../../support/haproxy.js';
import { couple, losses, writer } from './support.js';

test.skipIf(inject('haproxy') === null)(
  'twenty times through HAProxy: no write is lost, no client gets an error',
  async () => {
    const pair = await couple(['r70', 'r80']);
    const haproxy = await startHaproxy({ source: pair.one.port, target: pair.two.port });
    onTestFinished(() => haproxy.stop());
    // The applications know HAProxy only.
    await writeFile(pair.portFile, String(haproxy.port));
    const spec = {
      kind: 'haproxy' as const,
      socket: haproxy.socket,
      backend: 'redis',
      servers: { source: 'source', target: 'target' },
    };
    const writers = Array.from({ length: 8 }, (_, i) => writer(pair, `list:${i}`));
    for (let i = 0; i < 20; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const forward = pair.sides.to.at.port === pair.two.port;
      const to = (direction: 'forward' | 'back') => () =>
        repoint({
          spec,
          direction,
          name: 'test',
          serving: { address: pair.sides.to.address, database: 0 },
        });
      await handOver({
        ...pair.options(),
        repoint: to(forward ? 'forward' : 'back'),
        repointBack: to(forward ? 'back' : 'forward'),
      });
      pair.exchange();
    }
    for (const each of writers) {
      const end = await each.end();
      expect(end.errors).toEqual([]);
      expect(await losses({ server: pair.one, key: each.key, acknowledged: end.acknowledged })).toEqual({
        missing: 0,
        twice: 0,
      });
    }
  },
);

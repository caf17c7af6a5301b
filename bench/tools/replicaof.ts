/** Replication: until the link is up, which is when the whole data set is loaded. */
import { Redis } from 'ioredis';
import type { Ports } from './index.js';

export async function run({ from, to }: Ports) {
  const target = new Redis(to, '127.0.0.1');
  try {
    await target.call('REPLICAOF', '127.0.0.1', from);
    for (;;) {
      const info = String(await target.call('INFO', 'replication').catch(() => ''));
      if (info.includes('master_link_status:up')) break;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return {};
  } finally {
    target.disconnect();
  }
}

/** Taking hold of the servers: no earlier attempt may write to them any more, and a later one ends this one (see redis/hands.ts). */
import type { ServerAddress } from '../redis/address.js';
import { withClient } from '../redis/connect.js';
import { soleHand } from '../redis/hands.js';
import type { Border } from './border.js';

/**
 * Closes the connections of earlier attempts. What it returns is asked again once the connections that write stand: an attempt that
 * slept through its time-out and connects only then learns from Temporal that its turn is over.
 */
export async function takeHold(
  b: Pick<Border<never>, 'hand' | 'signal' | 'stillCurrent'>,
  addresses: readonly ServerAddress[],
): Promise<() => Promise<void>> {
  for (const address of addresses) {
    await withClient({ address, name: b.hand, signal: b.signal, commandTimeoutMs: 10_000 }, (client) =>
      soleHand({ client, name: b.hand }),
    );
  }
  const confirm = () => b.stillCurrent();
  await confirm();
  return confirm;
}

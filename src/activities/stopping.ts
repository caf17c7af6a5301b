/** Stopping the writes of a server for as long as its data is carried over, and letting them go on. */
import type { UndoResult } from '../contract.js';
import { FerryError } from '../errors.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { shown } from '../redis/address.js';
import { fence as setFence, fenceStanding, unfence, type FenceBefore } from '../redis/fence.js';
import { onServer, runIdOf } from './asking.js';
import { border } from './border.js';
import { takeHold } from './holding.js';

export interface Stopped {
  /** Milliseconds since 1970: right before the fence. */
  at: number;
  /** Of the server that is fenced: a fence does not outlive a restart. */
  runId: string;
}

/** What both verbs below are told. */
export interface Stopping {
  endpoint: RedisEndpoint;
  /** What stood before. */
  fence: FenceBefore;
  /** Where the undo stands for a release: what its debris is found by. */
  of: { namespace: string; release: string };
}

/** Every write is refused from here on, so none is acknowledged that what is taken next does not hold. Harmless when it is so. */
export async function stopWrites(input: Stopping): Promise<Stopped> {
  return border<Stopped, { at: number }>(async (b) => {
    const address = await resolveEndpoint({ endpoint: input.endpoint, where: 'the old server' });
    await takeHold(b, [address]);
    const at = b.last?.at ?? Date.now();
    await b.stillCurrent({ at });
    await onServer(b, address, async (client) => {
      if ((await fenceStanding({ client })) === 'sealed')
        throw new FerryError('Unclear', `${shown(address)} is sealed: the applications were sent elsewhere`);
      await setFence({ client, before: input.fence });
    });
    return { at, runId: await runIdOf(address, b.hand) };
  });
}

/** Undo: writes go on. Never behind a seal, where the applications may be on the other side. */
export async function allowWrites(input: Stopping): Promise<UndoResult> {
  return border<UndoResult>(async (b) => {
    const address = await resolveEndpoint({ endpoint: input.endpoint, where: 'the old server' });
    return onServer(b, address, async (client) => {
      const standing = await fenceStanding({ client });
      if (standing === 'sealed' || standing === 'returning')
        throw new FerryError(
          'Unclear',
          `${shown(address)} is ${standing === 'sealed' ? 'sealed' : 'about to be returned to'}: the applications may be on the other side, so it stays closed to writes`,
        );
      await unfence({ client, before: input.fence });
      return { note: standing === 'none' ? 'nothing was fenced' : 'writes go on' };
    });
  });
}

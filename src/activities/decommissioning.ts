/** The old server at the very end: whether anybody uses it, and taking it out of service. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../errors.js';
import type { Decommission } from '../inputs/decommission.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { runCommand } from '../platform/command.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { inside, shown, type ServerAddress } from '../redis/address.js';
import { shutDown, standing } from '../redis/decommission/shut-down.js';
import { useOf, usedMore, useSince, type Use, type UseSince } from '../redis/decommission/use.js';
import { atEndpoint, onServer } from './asking.js';
import { border, type Border } from './border.js';
import { takeHold } from './holding.js';

export type { Use } from '../redis/decommission/use.js';

/** What it is used for now: what later looks are measured by. */
export async function lookAtUse({ server }: { server: RedisEndpoint }): Promise<Use> {
  return border((b) => atEndpoint(b, { endpoint: server, where: 'source' }, (client) => useOf({ client })));
}

/** `moment`: since when nobody was to use it, in words. */
export async function proveUnused(input: {
  server: RedisEndpoint;
  since: Use;
  moment?: string | undefined;
}): Promise<UseSince> {
  return border(async (b) => {
    const source = { endpoint: input.server, where: 'source' };
    const now = await atEndpoint(b, source, (client) => useOf({ client }));
    return useSince({ since: input.since, now, moment: input.moment });
  });
}

export interface Decommissioned {
  seconds: number;
  stays: string[];
  /** What is odd about it, for people. */
  warning: string | null;
}

/** `seen`: what the person who approved it saw. Whatever came since stops it. */
export async function decommission(input: {
  server: RedisEndpoint;
  how: Decommission;
  seen: Use;
  name: string;
  step: string;
}): Promise<Decommissioned> {
  return border(async (b) => {
    const address = await resolveEndpoint({ endpoint: input.server, where: 'source' });
    const stillUnused = async (now: Use): Promise<void> => {
      const used = usedMore({ seen: input.seen, now });
      if (used !== null) throw new FerryError('StillUsed', `${shown(address)} is still used: ${used}`);
    };
    if (input.how.kind === 'command') return byCommand(b, { ...input, how: input.how, address, stillUnused });
    if ((await standing({ address, name: b.hand, signal: b.signal })) !== 'gone')
      await takeHold(b, [address]);
    const { seconds, stays, backAgain } = await shutDown({
      address,
      name: b.hand,
      runId: input.seen.runId,
      signal: b.signal,
      confirm: async (client) => stillUnused(await useOf({ client })),
    });
    return {
      seconds,
      stays,
      warning: backAgain
        ? `${shown(address)} answers again: something (systemd, Docker, an operator) starts it anew whenever it ends. Stop it there`
        : null,
    };
  });
}

/** A command may only set something in motion. */
const ENDS_WITHIN_MS = 10_000;

async function byCommand(
  b: Border<unknown>,
  on: {
    address: ServerAddress;
    how: Extract<Decommission, { kind: 'command' }>;
    seen: Use;
    name: string;
    step: string;
    stillUnused: (now: Use) => Promise<void>;
  },
): Promise<Decommissioned> {
  const { address, how, name, step, stillUnused } = on;
  const look = { address, name: b.hand, signal: b.signal };
  // An attempt before this one may have ended it.
  if ((await standing(look)) !== 'gone')
    await onServer(b, address, async (client) => stillUnused(await useOf({ client })));
  const { seconds } = await runCommand({
    label: 'decommission',
    spec: how,
    name,
    step,
    env: { FERRY_HOST: inside(address).host, FERRY_PORT: String(inside(address).port) },
    signal: b.signal,
  });
  for (const until = performance.now() + ENDS_WITHIN_MS; performance.now() < until;) {
    if ((await standing(look)) === 'gone') return { seconds, stays: [], warning: null };
    await sleep(200, undefined, { signal: b.signal });
  }
  return {
    seconds,
    stays: [],
    warning: `the command has ended, and ${shown(address)} still answers`,
  };
}

/**
 * Two hands must not hold one database. Sessions are named `ferry:<upgrade>:<epoch>.<attempt>`; a later attempt ends those of an earlier
 * one, also those of a pg_restore whose worker died, and an earlier one gives way.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../errors.js';
import type { Session } from './connect.js';

/** How long a session that was told to may take to end, in milliseconds: it may be in the middle of an index. */
const ENDS_WITHIN = 60_000;

/** An application_name has 63 characters at most, so the upgrade stands in it by its hash. `order`: "12.1". */
export function handOf({ workflowId, order }: { workflowId: string; order: string }): string {
  return `${ferryOf(workflowId)}:${order}`;
}

/** What the sessions of an upgrade begin with. */
export function ferryOf(workflowId: string): string {
  return `ferry:${createHash('sha256').update(workflowId).digest('hex').slice(0, 16)}`;
}

/** No session of an earlier attempt is there any more. @throws FerryError Unknown where a later one is */
export async function soleHand(session: Session, name: string): Promise<void> {
  const own = parse(name);
  if (!own) return;
  for (const until = Date.now() + ENDS_WITHIN; ; await sleep(100)) {
    const others = await session.ask<{ pid: number; name: string }>(
      `SELECT pid, application_name AS name FROM pg_stat_activity WHERE application_name LIKE $1 AND pid <> pg_backend_pid()`,
      [`${own.base}:%`],
    );
    const earlier = [];
    for (const other of others) {
      const order = parse(other.name)?.order ?? 0;
      if (order > own.order)
        throw new FerryError('Unknown', 'a later attempt holds the database; this one gives way');
      if (order < own.order) earlier.push(other.pid);
    }
    if (earlier.length === 0) return;
    if (Date.now() > until)
      throw new FerryError('Unclear', `${session.shown}: sessions of an earlier attempt do not end`);
    await session.ask('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid', [earlier]);
  }
}

function parse(name: string): { base: string; order: number } | null {
  const match = /^(ferry:[0-9a-f]+):(\d+)\.(\d+)$/.exec(name);
  return match ? { base: match[1] ?? '', order: Number(match[2]) * 100_000 + Number(match[3]) } : null;
}

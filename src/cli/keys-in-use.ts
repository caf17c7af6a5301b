/** Which keys running upgrades need, so that the others can be removed. Heavy: import it lazily. */
import { keyIdsIn } from '../codec/codec.js';
import { KEYS_VARIABLE, openKeyRing } from '../codec/keys.js';
import { clean, type Io } from './io.js';
import type { Session } from './session.js';

export interface KeyInUse {
  id: string;
  here: 'encrypts' | 'decrypts' | 'missing';
  /** IDs of running workflows of this task queue whose histories need it. */
  upgrades: string[];
}

/** Those that are known here, in their order, then those that are needed and missing. */
export async function keysInUse(io: Io, session: Session): Promise<KeyInUse[]> {
  const { first, all } = await (await openKeyRing(io.env[KEYS_VARIABLE], io.warn)).current();
  const users = new Map<string, string[]>([...all.keys()].map((id) => [id, []]));
  const query = `TaskQueue = '${session.taskQueue.replaceAll("'", "''")}' AND ExecutionStatus = 'Running'`;
  for await (const { workflowId, runId } of session.client.workflow.list({ query })) {
    const handle = session.client.workflow.getHandle(workflowId, runId);
    const needed = keyIdsIn(await handle.fetchHistory());
    keyIdsIn((await handle.describe()).raw, needed);
    for (const id of needed) users.set(id, [...(users.get(id) ?? []), workflowId]);
  }
  return [...users].map(([id, upgrades]) => ({
    id: clean(id),
    here: id === first?.id ? 'encrypts' : all.has(id) ? 'decrypts' : 'missing',
    upgrades: clean(upgrades).sort(),
  }));
}

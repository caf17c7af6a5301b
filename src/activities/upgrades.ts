/** Other upgrades, as Temporal knows them. */
import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Receipt } from '../contract.js';
import { border } from './border.js';

/** Of a target: whether it is being upgraded now, or its last upgrade has completed with a clean receipt. */
export type LastUpgrade = 'none' | 'running' | 'done' | 'ended otherwise';

const AT_ONCE = 10;

/** By workflow ID. Those that Temporal has forgotten are "none". */
export async function lookAtUpgrades({ ids }: { ids: string[] }): Promise<Record<string, LastUpgrade>> {
  return border(async () => {
    const found: Record<string, LastUpgrade> = {};
    for (let at = 0; at < ids.length; at += AT_ONCE)
      await Promise.all(
        ids.slice(at, at + AT_ONCE).map(async (id) => {
          found[id] = await lastUpgrade(id);
        }),
      );
    return found;
  });
}

async function lastUpgrade(workflowId: string): Promise<LastUpgrade> {
  const handle = Context.current().client.workflow.getHandle(workflowId);
  try {
    const { status } = await handle.describe();
    if (status.name === 'RUNNING') return 'running';
    if (status.name !== 'COMPLETED') return 'ended otherwise';
    const receipt = (await handle.result()) as Receipt;
    return receipt.outcome === 'Completed' && receipt.clean ? 'done' : 'ended otherwise';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'none';
    throw error;
  }
}

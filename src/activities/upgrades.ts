/** Other upgrades, as Temporal knows them. */
import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Receipt } from '../contract.js';
import { FerryError } from '../errors.js';
import type { FleetWave } from '../inputs/fleet-rollout.js';
import { problemsOfInputs } from '../inputs/schemas.js';
import { border } from './border.js';

/** Of a target: whether it is being upgraded now, or its last upgrade has completed with a clean receipt. */
export type LastUpgrade = 'none' | 'running' | 'done' | 'ended otherwise';

const AT_ONCE = 10;

/** Named in a message; the others are counted. */
const NAMED = 10;

/**
 * Of every target, by workflow ID. Those that Temporal has forgotten are "none".
 *
 * @throws FerryError InvalidInput where the input of a target is not right
 */
export async function lookAtTargets({ waves }: { waves: FleetWave[] }): Promise<Record<string, LastUpgrade>> {
  return border(async () => {
    const problems = problemsOfInputs(waves.flatMap(({ targets }) => targets));
    if (problems.length > 0)
      throw new FerryError(
        'InvalidInput',
        [
          ...problems.slice(0, NAMED),
          ...(problems.length > NAMED ? [`${problems.length - NAMED} more targets are not right`] : []),
        ].join('; '),
      );
    const ids = waves.flatMap(({ targets }) => targets.map(({ workflowId }) => workflowId));
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

export async function isUpgrading({ workflowId }: { workflowId: string }): Promise<boolean> {
  return border(async () => (await lastUpgrade(workflowId)) === 'running');
}

export async function lastUpgrade(workflowId: string): Promise<LastUpgrade> {
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

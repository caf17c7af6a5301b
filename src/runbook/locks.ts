/** Locks: what identifies a server is held by a child workflow of that name, which ends with its parent, however that ends. */
import {
  CancellationScope,
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  sleep,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { acts, reads } from './acts.js';
import { ending } from './failure.js';

export function locks(): (keys: string[]) => Promise<void> {
  const held = new Set<string>();
  return async (keys) => {
    // In a fixed order, so that two upgrades of the same pair can't each hold one.
    for (const key of [...new Set(keys)].sort()) {
      if (held.has(key)) continue;
      await takeLock(key);
      held.add(key);
    }
  };
}

/** Takes the lock of each key, or fails saying who has it. A child workflow ends with its parent, however that ends. */
async function takeLock(key: string): Promise<void> {
  const { workflowId: holder } = workflowInfo();
  const workflowId = `lock/${key}`;
  for (let tries = 1; ; tries += 1) {
    try {
      await CancellationScope.nonCancellable(() =>
        startChild('lock', {
          workflowId,
          args: [{ holder }],
          memo: { holder },
          parentClosePolicy: ParentClosePolicy.TERMINATE,
          cancellationType: ChildWorkflowCancellationType.ABANDON,
          staticSummary: `Lock of ${key}, held by ${holder}`,
        }),
      );
      return;
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      // The lock of an upgrade that has just ended goes a moment after it.
      if (tries < 4) {
        await sleep(500, { summary: 'Try the lock again' });
        continue;
      }
      const other = await acts(reads, 'Who holds the lock')
        .whoHolds({ workflowId })
        .catch(() => null);
      throw ending(
        'Locked',
        `${key} is in the hands of another upgrade${other === null ? '' : `: ${other}`} (see workflow ${workflowId}). Nothing was changed.`,
      );
    }
  }
}

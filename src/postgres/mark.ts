/**
 * What an upgrade has begun at a target, written down in the target itself: an empty schema whose comment says whose it is and how far.
 * So whoever comes after a death knows whether what is there may be taken out, wherever the worker was.
 */
import { FerryError } from '../errors.js';
import { ident, literal, type Session } from './connect.js';
import { MARK } from './catalogs.js';

/** emptying: its former content is taken out. empty: it holds nothing. restoring, restored: it holds what we put there. */
export type Stage = 'emptying' | 'empty' | 'restoring' | 'restored' | 'putting back';

export interface Mark {
  workflowId: string;
  stage: Stage;
}

const STAGES: readonly Stage[] = ['emptying', 'empty', 'restoring', 'restored', 'putting back'];

/** Null: nobody has begun anything. */
export async function readMark(session: Session): Promise<Mark | null> {
  const [row] = await session.ask<{ says: string | null }>(
    `SELECT obj_description(n.oid, 'pg_namespace') AS says FROM pg_namespace n WHERE n.nspname = '${MARK}'`,
  );
  if (!row) return null;
  const [, workflowId = 'somebody', stage = ''] = /^Redis Ferry: (\S+) (.+)$/.exec(row.says ?? '') ?? [];
  return { workflowId, stage: STAGES.find((each) => each === stage) ?? 'emptying' };
}

export async function setMark(session: Session, { workflowId, stage }: Mark): Promise<void> {
  await session.ask(
    `BEGIN READ WRITE; CREATE SCHEMA IF NOT EXISTS ${ident(MARK)}; COMMENT ON SCHEMA ${ident(MARK)} IS ${literal(`Redis Ferry: ${workflowId} ${stage}`)}; COMMIT`,
  );
}

export async function dropMark(session: Session): Promise<void> {
  await session.ask(
    `BEGIN READ WRITE; SET LOCAL client_min_messages = 'error'; DROP SCHEMA IF EXISTS ${ident(MARK)} CASCADE; COMMIT`,
  );
}

/** How far this upgrade is there; null where it has begun nothing. @throws FerryError Locked where it is another's */
export async function stageOf(session: Session, workflowId: string): Promise<Stage | null> {
  const mark = await readMark(session);
  if (mark === null) return null;
  if (mark.workflowId !== workflowId)
    throw new FerryError(
      'Locked',
      `${session.shown} is in the hands of ${mark.workflowId} (its schema ${MARK} says so). Run \`ferry recover ${mark.workflowId}\` when that has ended`,
    );
  return mark.stage;
}

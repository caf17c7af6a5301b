/** Receipts in a table, beside those of other workers. */
import type { Receipt } from '../contract.js';
import { FerryError } from '../errors.js';
import { withSession, type At, type Session } from './connect.js';

const TABLE = 'ferry_receipts';

/** Sessions of ours have no search_path; the table is where the user's own leads. */
async function theirPath(session: Session): Promise<void> {
  await session.ask('RESET search_path');
}

async function isThere(session: Session): Promise<boolean> {
  const [row] = await session.ask<{ there: boolean }>(`SELECT to_regclass('${TABLE}') IS NOT NULL AS there`);
  return row?.there ?? false;
}

/** Makes the table where it is missing. Again: it is there once. @throws FerryError; the signal's reason when aborted */
export async function insertReceipt(at: At, receipt: Receipt): Promise<void> {
  const { workflowId, runId, strategy, name, outcome, clean, startedAt, endedAt } = receipt;
  await withSession(at, async (session) => {
    await theirPath(session);
    // Who may only insert may not even ask for it to be made.
    if (!(await isThere(session)))
      await session.ask(
        `CREATE TABLE IF NOT EXISTS ${TABLE} (workflow_id text NOT NULL, run_id text NOT NULL, strategy text NOT NULL, name text NOT NULL,
           outcome text NOT NULL, clean boolean NOT NULL, started_at timestamptz NOT NULL, ended_at timestamptz NOT NULL, receipt jsonb NOT NULL,
           PRIMARY KEY (workflow_id, run_id))`,
      );
    // jsonb has no place for a NUL.
    const json = JSON.stringify(receipt, (_, value: unknown) =>
      typeof value === 'string' ? value.replaceAll('\0', '') : value,
    );
    await session.ask(
      `INSERT INTO ${TABLE} (workflow_id, run_id, strategy, name, outcome, clean, started_at, ended_at, receipt)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (workflow_id, run_id) DO NOTHING`,
      [workflowId, runId, strategy, name, outcome, clean, startedAt, endedAt, json],
    );
  });
}

/** As JSON, the newest first. @throws FerryError */
export async function receiptTexts(at: At): Promise<string[]> {
  return withSession(at, async (session) => {
    await theirPath(session);
    if (!(await isThere(session))) throw new FerryError('NotFound', `${session.shown} has no table ${TABLE}`);
    const rows = await session.ask<{ text: string }>(
      `SELECT receipt::text AS text FROM ${TABLE} ORDER BY ended_at DESC`,
    );
    return rows.map(({ text }) => text);
  });
}

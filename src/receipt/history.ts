/** What stays of an upgrade in a list of all of them: one line for `ferry history`, one paragraph for UPGRADE_HISTORY.md. Pure. */
import type { Receipt } from '../contract.js';
import { findFact } from './find.js';
import { duration, isRecord } from './words.js';

export interface HistoryEntry {
  /** When it ended, ISO 8601. */
  at: string;
  name: string;
  /** The strategy. */
  method: string;
  workflowId: string;
  runId: string;
  outcome: Receipt['outcome'];
  clean: boolean;
  /** "Redis 7.0.15", where the strategy noted it. */
  from: string | null;
  to: string | null;
  /** "412 ms (write pause)"; null where nothing was measured. */
  downtime: string | null;
  issues: string[];
  rollback: boolean;
  /** Who approved, and what was tested. */
  validatedBy: string;
  seconds: number;
}

export function entryOf(receipt: Receipt): HistoryEntry {
  const { name, strategy, workflowId, runId, outcome, clean, endedAt, seconds } = receipt;
  return {
    at: endedAt,
    name,
    method: strategy,
    workflowId,
    runId,
    outcome,
    clean,
    ...versionsOf(receipt.facts),
    downtime: downtimeOf(receipt.facts),
    issues: [...receipt.blemishes, ...receipt.left.map((left) => `Left as it is: ${left}`)],
    rollback: outcome === 'RolledBack' || outcome === 'RollbackFailed',
    validatedBy: validatedBy(receipt),
    seconds,
  };
}

function versionsOf(facts: Record<string, unknown>): { from: string | null; to: string | null } {
  const { servers } = facts;
  const side = (which: 'source' | 'target'): string | null => {
    const found = isRecord(servers) ? servers[which] : undefined;
    const version = isRecord(found) ? found['version'] : undefined;
    return typeof version === 'string' ? version : null;
  };
  const text = (fact: unknown): string | null => (typeof fact === 'string' ? fact : null);
  return {
    from: side('source') ?? text(findFact(facts, 'from')),
    to: side('target') ?? text(findFact(facts, 'to')),
  };
}

/** What each strategy calls it, the most exact first; milliseconds of one, and what it is. */
const DOWNTIMES: [string, number, string][] = [
  ['secondsAtRest', 1_000, 'applications at rest'],
  ['secondsAway', 1_000, 'the server was away'],
  ['secondsClosedToWrites', 1_000, 'writes were refused'],
  ['writePauseMs', 1, 'writes waited'],
];

function downtimeOf(facts: Record<string, unknown>): string | null {
  for (const [key, factor, what] of DOWNTIMES) {
    const found = findFact(facts, key);
    if (typeof found === 'number') return `${duration(found * factor)} (${what})`;
  }
  return null;
}

function validatedBy({ approvals, checks }: Receipt): string {
  const people = [...new Set(approvals.map(({ by }) => by))].filter((by) => by !== 'the input');
  const passed = checks.filter(({ status }) => status === 'pass').length;
  const tested = `${passed} of ${checks.length} checks passed`;
  return people.length === 0 ? tested : `${people.join(', ')}; ${tested}`;
}

/** Of the run, so that it is there once however often it is written. */
export function markOf({ runId }: Pick<HistoryEntry, 'runId'>): string {
  return `<!-- ${runId} -->`;
}

/** A paragraph of UPGRADE_HISTORY.md. */
export function paragraphOf(entry: HistoryEntry): string {
  const { at, name, from, to, method, downtime, issues, rollback, validatedBy: by, outcome, seconds } = entry;
  const versions = from === null && to === null ? '' : ` - ${from ?? 'unknown'} → ${to ?? 'unknown'}`;
  return [
    `## ${at.slice(0, 10)} - ${name}${versions}`,
    markOf(entry),
    '',
    `- Upgrade method: ${method}`,
    `- Outcome: ${outcome}, after ${duration(seconds * 1_000)}`,
    `- Downtime: ${downtime ?? 'not measured'}`,
    `- Issues: ${issues.length === 0 ? 'None' : ''}`,
    ...issues.map((issue) => `  - ${issue.replaceAll(/\s+/g, ' ')}`),
    `- Rollback required: ${rollback ? 'Yes' : 'No'}`,
    `- Validated by: ${by}`,
    `- Workflow: \`${entry.workflowId}\``,
    '',
  ]
    .map((line) => line.trimEnd())
    .join('\n');
}

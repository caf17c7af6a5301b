/** The receipt for a terminal: the same as the page, in plain lines. */
import type { Receipt, StepStatus } from '../contract.js';
import { between, columnsOf, duration, isPlain, isRecord, label, moment, value } from './words.js';

const MARK: Record<StepStatus, string> = {
  planned: ' ',
  running: '▸',
  waiting: '▸',
  done: '✓',
  skipped: '–',
  failed: '✗',
  undoing: '↩',
  undone: '↩',
  'undo failed': '✗',
};

/** Lines without colour. A wide terminal isn't needed: only tables of facts are aligned. */
export function receiptText(receipt: Receipt): string {
  const clean = receipt.outcome === 'Completed' ? (receipt.clean ? ', clean' : ', not clean') : '';
  const lines = [
    `Receipt of ${receipt.strategy} ${receipt.name}: ${receipt.outcome}${clean}`,
    receipt.reason,
    '',
    `  took       ${duration(receipt.seconds * 1_000)}, ${moment(receipt.startedAt)} to ${moment(receipt.endedAt)}`,
    `  workflow   ${receipt.workflowId}`,
    `  run        ${receipt.runId}`,
    ...(receipt.planHash ? [`  plan       ${receipt.planHash}`] : []),
  ];
  const list = (title: string, items: readonly string[]) => {
    if (items.length > 0) lines.push('', title, ...items.map((item) => `  ${item}`));
  };
  list(
    'What keeps it from being clean',
    receipt.blemishes.map((line) => `! ${line}`),
  );
  list(
    'Still there, to be removed or put back by hand',
    receipt.left.map((line) => `! ${line}`),
  );
  list(
    'Steps',
    receipt.steps.map((step) => {
      const took = step.kind === 'point of no return' ? '' : between(step.startedAt, step.endedAt);
      const aside = [step.status === 'done' ? '' : step.status, took, step.note ?? ''].filter(
        (part) => part !== '',
      );
      return `${MARK[step.status]} ${step.title}${aside.length > 0 ? ` (${aside.join(', ')})` : ''}`;
    }),
  );
  const passed = receipt.checks.filter((check) => check.status === 'pass').length;
  list(`Checks: ${passed} of ${receipt.checks.length} passed`, [
    ...receipt.checks
      .filter((check) => check.status !== 'pass')
      .map(
        (check) =>
          `${check.status === 'fail' ? '✗' : '!'} ${check.name}: ${check.actual}, expected ${check.expected}${
            check.waivedBy === undefined ? '' : ` (waived by ${check.waivedBy})`
          }`,
      ),
    ...(receipt.checks.length > 0 && passed === receipt.checks.length ? ['✓ nothing to remark'] : []),
  ]);
  list('Approvals', [
    ...receipt.approvals.map(
      (answer) =>
        `✓ ${answer.gate}: ${answer.by}, ${moment(answer.at)}${answer.note === undefined ? '' : `: ${answer.note}`}`,
    ),
    ...receipt.rejections.map(
      (answer) =>
        `✗ ${answer.gate}: rejected by ${answer.by}, ${moment(answer.at)}${answer.note === undefined ? '' : `: ${answer.note}`}`,
    ),
    ...(receipt.withdrawals ?? []).map(
      (taken) =>
        `– ${taken.gate}: withdrawn by ${taken.by}, ${moment(taken.at)}${taken.note === undefined ? '' : `: ${taken.note}`}`,
    ),
  ]);
  list(
    'Changed while it ran',
    (receipt.steered ?? []).map(
      ({ what, by, at, note }) => `${what}, by ${by}, ${moment(at)}${note === undefined ? '' : `: ${note}`}`,
    ),
  );
  list('Measured', factLines(receipt.facts));
  list(
    'Left to do by hand',
    receipt.followUps.map((item) =>
      item.doneBy === undefined ? `☐ ${item.item}` : `☑ ${item.item} (${item.doneBy})`,
    ),
  );
  list(
    'Asked for and refused',
    receipt.refused.map((refusal) => `${refusal.what} by ${refusal.by}: ${refusal.reason}`),
  );
  list(
    'Troubles that did not stop it',
    receipt.warnings.map((line) => `! ${line}`),
  );
  if (receipt.files) list('Files on the worker', [receipt.files.html, receipt.files.json]);
  return `${lines.join('\n')}\n`;
}

/** Facts of any shape, indented by their depth. */
export function factLines(facts: Record<string, unknown>): string[] {
  const entries = Object.entries(facts).filter(([, fact]) => fact !== undefined);
  const plain = entries.filter(([, fact]) => isPlain(fact));
  const width = Math.min(30, Math.max(0, ...plain.map(([key]) => label(key).length)));
  const lines: string[] = plain.map(([key, fact]) => `${label(key).padEnd(width)}  ${value(fact, key)}`);
  for (const [key, fact] of entries.filter(([, other]) => !isPlain(other))) {
    lines.push(`${label(key)}:`, ...nestedLines(fact, key).map((line) => `  ${line}`));
  }
  return lines;
}

function nestedLines(fact: unknown, key: string): string[] {
  if (isPlain(fact)) return [value(fact, key)];
  if (Array.isArray(fact)) {
    if (fact.length === 0) return ['none'];
    const columns = columnsOf(fact);
    if (columns)
      return aligned([columns.map(label), ...fact.filter(isRecord).map((row) => cells(columns, row))]);
    return fact.flatMap((item: unknown) =>
      nestedLines(item, key).map((line, at) => `${at === 0 ? '- ' : '  '}${line}`),
    );
  }
  if (!isRecord(fact)) return [String(fact)];
  const entries = Object.entries(fact);
  if (entries.length === 0) return ['none'];
  const columns =
    entries.length > 1 && !entries.every(([, inner]) => isPlain(inner))
      ? columnsOf(entries.map(([, inner]) => inner))
      : null;
  if (!columns) return factLines(fact);
  return aligned([
    ['', ...columns.map(label)],
    ...entries.map(([name, inner]) => [name, ...cells(columns, isRecord(inner) ? inner : {})]),
  ]);
}

function cells(columns: readonly string[], row: Record<string, unknown>): string[] {
  return columns.map((column) => (row[column] === undefined ? '' : value(row[column], column)));
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

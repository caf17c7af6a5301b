/** Upgrades that have ended, a line each. Pure. */
import type { Colors } from 'picocolors/types.js';
import type { HistoryEntry } from '../receipt/history.js';
import { pad, width } from './layout.js';
import { phaseWords } from './seen.js';

const HEADINGS = ['ENDED', 'TARGET', 'METHOD', 'FROM', 'TO', 'DOWNTIME', 'OUTCOME', 'VALIDATED BY'];

export function historyLines(entries: readonly HistoryEntry[], colours: Colors): string[] {
  const rows = entries.map(({ at, name, method, from, to, downtime, outcome, clean, validatedBy }) => [
    `${at.slice(0, 16).replace('T', ' ')} UTC`,
    name,
    method,
    from ?? '-',
    to ?? '-',
    downtime ?? '-',
    `${phaseWords(outcome)}${outcome === 'Completed' && !clean ? ', not clean' : ''}`,
    validatedBy,
  ]);
  const widths = HEADINGS.map((heading, at) =>
    Math.max(width(heading), ...rows.map((row) => width(row[at] ?? ''))),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, at) => pad(cell, widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  return [colours.dim(line(HEADINGS)), ...rows.map(line)];
}

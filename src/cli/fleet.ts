/** The targets of a fleet as a person reads them: a line each while they are few, else those that want to be looked at. Pure. */
import type { Colors } from 'picocolors/types.js';
import type { FleetRow, State } from '../contract.js';
import { between, count, duration } from '../receipt/words.js';
import { cut, pad, width } from './layout.js';
import { phaseWords, type Seen, type Theme } from './seen.js';

const MARKS: Record<FleetRow['status'], string> = {
  planned: '·',
  running: '▸',
  done: '✓',
  failed: '✗',
  skipped: '–',
};

/** Lines that a screen has for those that want to be looked at. */
const SHORT = 8;
/** Up to so many each has a line. */
const WHOLE = 30;

function paintOf({ status, phase, clean }: FleetRow, colours: Colors): (text: string) => string {
  if (status === 'failed') return colours.red;
  if (status === 'done') return clean === false ? colours.yellow : colours.green;
  if (status !== 'running') return colours.dim;
  return phase === undefined || phase === 'Running' ? colours.cyan : colours.yellow;
}

/** Under way, failed, or not clean. */
function isNews({ status, clean }: FleetRow): boolean {
  return status === 'running' || status === 'failed' || (status === 'done' && clean === false);
}

function saysOf(row: FleetRow): string {
  const { status, phase, reason = '', outcome, by } = row;
  if (status === 'running')
    return phase === undefined || phase === 'Running' ? (row.at ?? '') : `${phaseWords(phase)}: ${reason}`;
  if (status === 'failed') return `${outcome === undefined ? 'failed' : phaseWords(outcome)}: ${reason}`;
  if (status === 'skipped') return `left out by ${by ?? 'somebody'}`;
  return status === 'done' && row.clean === false ? `not clean: ${reason}` : '';
}

export function fleetLines({ state, now }: Seen, theme: Theme, how: 'all' | 'short' = 'all'): string[] {
  const rows = state.fleet ?? [];
  const { colours, columns } = theme;
  const whole = how === 'all' && rows.length <= WHOLE;
  const shown = whole ? rows : rows.filter(isNews).slice(0, how === 'short' ? SHORT : rows.length);
  const names = Math.min(40, Math.max(0, ...shown.map(({ name }) => width(name))));
  const waves = [...new Set(rows.map(({ wave }) => wave))];
  return waves.flatMap((wave) => {
    const own = rows.filter((row) => row.wave === wave);
    return [
      `  ${colours.bold(wave)}  ${colours.dim(tally(own))}`,
      ...shown
        .filter((row) => row.wave === wave)
        .map((row) => {
          const took = row.startedAt
            ? between(
                row.startedAt,
                row.endedAt ?? (row.status === 'running' ? new Date(now).toISOString() : undefined),
              )
            : '';
          const says = saysOf(row);
          const line = `    ${paintOf(row, colours)(MARKS[row.status])} ${pad(cut(row.name, names), names)}  ${colours.dim(took.padStart(8))}`;
          const room = Math.max(12, columns - names - 18);
          return says === '' ? line.trimEnd() : `${line}  ${paintOf(row, colours)(cut(says, room))}`;
        }),
    ];
  });
}

/** "2 of 3 done, 1 running". */
function tally(rows: readonly FleetRow[]): string {
  const of = (status: FleetRow['status']) => rows.filter((row) => row.status === status).length;
  return [
    `${count(of('done'))} of ${count(rows.length)} done`,
    ...(['running', 'failed', 'skipped'] as const)
      .filter((status) => of(status) > 0)
      .map((status) => `${count(of(status))} ${status}`),
  ].join(', ');
}

/** What became of targets since `old`. */
export function fleetChanges({ fleet = [] }: State, old: State | null): string[] {
  // A rehearsal has one target in each of its passes.
  const before = new Map(old?.fleet?.map((row) => [`${row.wave} ${row.workflowId}`, row]));
  return fleet.flatMap((row) => {
    const was = before.get(`${row.wave} ${row.workflowId}`);
    if (
      row.status === 'planned' ||
      (was?.status === row.status && was.phase === row.phase && was.at === row.at)
    )
      return [];
    const took = row.startedAt && row.endedAt ? Date.parse(row.endedAt) - Date.parse(row.startedAt) : null;
    const aside = [took === null ? '' : duration(took), saysOf(row)].filter(Boolean).join(', ');
    return [
      `${MARKS[row.status]} ${row.wave}: ${row.name}${row.status === 'running' ? '' : `: ${row.status}`}${aside ? ` (${aside})` : ''}`,
    ];
  });
}

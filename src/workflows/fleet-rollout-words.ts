/** What `fleetRollout` says: the sentences of its plan and its receipt, and its checks. */
import type { LastUpgrade } from '../activities/upgrades.js';
import type { Check, FleetRow } from '../contract.js';
import type { FleetRolloutSettings, FleetWave } from '../inputs/fleet-rollout.js';

/** Named one by one; of more, the first ones. */
const NAMED = 10;

export function targets(count: number): string {
  return `${count.toLocaleString('en')} ${count === 1 ? 'target' : 'targets'}`;
}

function named(names: readonly string[]): string {
  const more = names.length - NAMED;
  return more > 0 ? `${names.slice(0, NAMED).join(', ')} and ${more} more` : names.join(', ');
}

export function rowsOf(waves: readonly FleetWave[]): FleetRow[] {
  return waves.flatMap((wave) =>
    wave.targets.map(({ name, strategy, workflowId }): FleetRow => ({
      wave: wave.name,
      name,
      strategy,
      workflowId,
      status: 'planned',
    })),
  );
}

export function sizeOf(waves: readonly FleetWave[]): string {
  return waves.map(({ name, targets: { length } }) => `${name}: ${targets(length)}`).join(', ');
}

export function checks(
  rows: readonly FleetRow[],
  { last, input }: { last: Record<string, LastUpgrade>; input: FleetRolloutSettings },
): Check[] {
  const are = (what: LastUpgrade) => rows.filter(({ workflowId }) => last[workflowId] === what);
  const running = are('running');
  const done = are('done');
  return [
    {
      name: 'No target is being upgraded already',
      status: running.length === 0 ? 'pass' : 'fail',
      expected: 'none',
      actual: running.length === 0 ? 'none' : named(running.map(({ workflowId }) => workflowId)),
      waivable: true,
      ...(running.length === 0
        ? {}
        : {
            next: 'Wait until these have ended. Waived, each of them stops the fleet when its turn comes before that.',
          }),
    },
    {
      name: 'Targets that are done already',
      status: done.length === 0 || input.skipDone ? 'pass' : 'warn',
      expected: 'none, or left out (skipDone)',
      actual:
        done.length === 0
          ? 'none'
          : `${targets(done.length)} ${input.skipDone ? 'left out' : 'upgraded again'}: ${named(done.map(({ name }) => name))}`,
      waivable: false,
    },
    {
      name: 'Somebody is told',
      status: input.notify === undefined ? 'warn' : 'pass',
      expected: 'a webhook (notify)',
      actual: input.notify === undefined ? 'nobody is: look at it with `ferry state --watch`' : 'a webhook',
      waivable: false,
    },
  ];
}

export function leaveOutDone(rows: FleetRow[], last: Record<string, LastUpgrade>): void {
  for (const row of rows)
    if (row.status === 'planned' && last[row.workflowId] === 'done')
      Object.assign(row, { status: 'skipped', by: 'skipDone' } satisfies Partial<FleetRow>);
}

export function startQuestion(waves: readonly FleetWave[], { stopOn }: FleetRolloutSettings): string {
  const all = waves.reduce((sum, wave) => sum + wave.targets.length, 0);
  const [first] = waves;
  return `Begin to upgrade ${targets(all)} in ${waves.length} ${waves.length === 1 ? 'wave' : 'waves'}, with "${first?.name}"? It stops at the first target ${stopOn === 'failed' ? 'that does not complete' : 'whose receipt is not clean'}`;
}

export function waveQuestion(
  wave: FleetWave,
  { rows, before }: { rows: readonly FleetRow[]; before: FleetWave | undefined },
): string {
  const last = rows.filter((row) => row.wave === before?.name);
  return `Begin wave "${wave.name}" (${targets(wave.targets.length)})? Wave "${before?.name}": ${outcomeOf(last)}`;
}

export function waveSays({ targets: all, maxParallel }: FleetWave): string[] {
  const strategies = [...new Set(all.map(({ strategy }) => strategy))];
  return strategies.map((strategy) => {
    const names = all.filter((target) => target.strategy === strategy).map(({ name }) => name);
    return `${strategy} of ${targets(names.length)}, at most ${maxParallel} at a time: ${named(names)}`;
  });
}

const OVER: readonly FleetRow['status'][] = ['done', 'skipped'];

/** Nothing of it is left to do or to decide. */
export function isOver(rows: readonly FleetRow[]): boolean {
  return rows.every(({ status, by }) => OVER.includes(status) || (status === 'failed' && by !== undefined));
}

/** "3 done, 1 skipped". */
export function outcomeOf(rows: readonly FleetRow[]): string {
  const unclean = rows.filter(({ status, clean }) => status === 'done' && clean === false).length;
  const counts = (['done', 'failed', 'skipped', 'running', 'planned'] as const)
    .map((status) => ({ status, count: rows.filter((row) => row.status === status).length }))
    .filter(({ count }) => count > 0)
    .map(({ status, count }) => `${count.toLocaleString('en')} ${status}`);
  return `${counts.join(', ')}${unclean > 0 ? ` (${unclean} not clean)` : ''}`;
}

/** Why the fleet's receipt is not clean. */
export function flaws(rows: readonly FleetRow[]): string[] {
  return rows.flatMap(({ name, workflowId, status, outcome, clean, reason, by }) =>
    status === 'failed'
      ? [`${name} (${workflowId}) ended ${outcome ? `as ${outcome}` : 'early'}: ${reason ?? ''}`]
      : status === 'skipped' && by !== 'skipDone'
        ? [`${name} was left out by ${by ?? 'somebody'}`]
        : status === 'done' && clean === false
          ? [`${name} is not clean: ${reason ?? ''}`]
          : [],
  );
}

/** Targets that are done have ended: each of them is beyond the reach of its fleet. */
export function backTakes(rows: readonly FleetRow[]): string {
  const done = rows.filter(({ status }) => status === 'done').length;
  return `as long as the targets under way need for it${done === 0 ? '' : `; ${targets(done)} that ${done === 1 ? 'is' : 'are'} done stay${done === 1 ? 's' : ''} so`}`;
}

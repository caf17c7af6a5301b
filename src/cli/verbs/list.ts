import type { Command } from 'commander';
import { globals, type Cli } from '../cli.js';

export interface Row {
  workflowId: string;
  strategy: string;
  phase: string;
  startedAt: string;
  endedAt?: string;
  runId: string;
}

export function list(program: Command, cli: Cli): void {
  program
    .command('list')
    .description('upgrades, running ones first')
    .option('--all', 'earlier runs of the same target too')
    .option('--limit <number>', 'how many at most', '50')
    .option('--json', 'for programs')
    .action(async (options: { all?: boolean; limit: string; json?: boolean }, command: Command) => {
      const [
        { withSession },
        { clean },
        { phaseOf, STRATEGIES, UPGRADES_ONLY },
        { duration },
        { pad, width },
        { phaseWords },
      ] = await Promise.all([
        import('../session.js'),
        import('../io.js'),
        import('../../contract.js'),
        import('../../receipt/words.js'),
        import('../layout.js'),
        import('../seen.js'),
      ]);
      await withSession(cli.io, globals(command), async (session) => {
        const types = Object.keys(STRATEGIES).map((strategy) => `'${strategy}'`);
        const limit = Math.max(1, Number.parseInt(options.limit, 10) || 50);
        const rows: Row[] = [];
        const seen = new Set<string>();
        // Running ones first, whatever their age: those are what a limit must not cut off.
        for (const which of ["ExecutionStatus = 'Running'", "ExecutionStatus != 'Running'"]) {
          for await (const info of session.client.workflow.list({
            query: `WorkflowType IN (${types.join(', ')}) AND ${UPGRADES_ONLY} AND ${which}`,
          })) {
            if (rows.length >= limit) break;
            if (options.all !== true && seen.has(info.workflowId)) continue;
            seen.add(info.workflowId);
            rows.push({
              workflowId: info.workflowId,
              strategy: info.type,
              phase: phaseFor(info.status.name, clean(phaseOf(info))),
              startedAt: info.startTime.toISOString(),
              ...(info.closeTime ? { endedAt: info.closeTime.toISOString() } : {}),
              runId: info.runId,
            });
          }
        }
        if (options.json === true) return cli.io.print(JSON.stringify(rows, null, 2));
        if (rows.length === 0)
          return cli.io.print(
            `No upgrades in namespace "${session.namespace}" at ${session.address}. \`ferry start --help\` says how to start one.`,
          );
        const cells = rows.map((row) => [
          row.endedAt === undefined ? '●' : ' ',
          row.workflowId,
          row.strategy,
          phaseWords(row.phase),
          `${row.startedAt.slice(0, 16).replace('T', ' ')} UTC`,
          duration(Date.parse(row.endedAt ?? new Date().toISOString()) - Date.parse(row.startedAt)),
        ]);
        const headings = ['', 'ID', 'STRATEGY', 'PHASE', 'STARTED', 'TOOK'];
        const widths = headings.map((heading, at) =>
          Math.max(width(heading), ...cells.map((cell) => width(cell[at] ?? ''))),
        );
        const line = (cell: readonly string[]) =>
          cell
            .map((text, at) => pad(text, widths[at] ?? 0))
            .join('  ')
            .trimEnd();
        cli.io.print([cli.io.colours.dim(line(headings)), ...cells.map(line)].join('\n'));
      });
    });
}

/** A workflow that was ended from outside never said its last phase. */
export function phaseFor(status: string, phase: string | null): string {
  switch (status) {
    case 'TERMINATED':
      return 'Terminated';
    case 'TIMED_OUT':
      return 'TimedOut';
    case 'COMPLETED':
      return phase ?? 'Completed';
    case 'FAILED':
      return phase !== null && ['RolledBack', 'RollbackFailed', 'Aborted'].includes(phase) ? phase : 'Failed';
    default:
      return phase ?? (status === 'RUNNING' ? 'Running' : status);
  }
}

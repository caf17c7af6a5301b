import type { Command } from 'commander';
import { globals, type Cli } from '../cli.js';
import { CliError, EXIT } from '../exit.js';
import type { ScheduleRow } from '../schedules.js';
import { durationOf } from '../values.js';

const SCHEDULE = 'preflight/redis/NAME, upgrade/redis/NAME, or NAME alone';

interface CreateOptions {
  input: string;
  every?: string;
  cron?: string;
  json?: boolean;
}

export function schedule(program: Command, cli: Cli): void {
  const verb = program
    .command('schedule')
    .description(
      'pre-flights again and again: each makes the plan, changes nothing, and fails where a check does',
    );
  create(verb, cli);
  list(verb, cli);
  show(verb, cli);
  verb
    .command('pause')
    .description('begin no pre-flight until it is resumed')
    .argument('<id>', SCHEDULE)
    .action(acting(cli, 'Paused', (handle) => handle.pause()));
  verb
    .command('resume')
    .description('begin pre-flights again')
    .argument('<id>', SCHEDULE)
    .action(acting(cli, 'Resumed', (handle) => handle.unpause()));
  verb
    .command('run')
    .description('begin a pre-flight now, unless one runs')
    .argument('<id>', SCHEDULE)
    .action(acting(cli, 'Begun', (handle) => handle.trigger()));
  verb
    .command('delete')
    .description('remove the schedule; a pre-flight that runs ends as it would')
    .argument('<id>', SCHEDULE)
    .action(acting(cli, 'Deleted', (handle) => handle.delete()));
}

function create(verb: Command, cli: Cli): void {
  verb
    .command('create')
    .description('schedule pre-flights of an upgrade; said again, it is changed')
    .argument('<strategy>', 'as for `ferry start`')
    .requiredOption('-i, --input <file>', 'the input of the upgrade, as for `ferry start`')
    .option('--every <time>', 'such as 1d', durationOf)
    .option('--cron <line>', 'such as "0 3 * * 1", in UTC; "CRON_TZ=Europe/Berlin 0 3 * * 1" elsewhere')
    .option('--json', 'for programs')
    .action(async (strategy: string, options: CreateOptions, command: Command) => {
      const [{ readInput }, { withSession }, { saveSchedule }, { pollers }, { milliseconds }] =
        await Promise.all([
          import('../input.js'),
          import('../session.js'),
          import('../schedules.js'),
          import('../upgrade.js'),
          import('../../inputs/refs.js'),
        ]);
      const { every, cron } = options;
      if ((every === undefined) === (cron === undefined))
        throw new CliError(every === undefined ? 'How often?' : 'Both --every and --cron are given.', {
          code: EXIT.usage,
          next: ['Give either --every or --cron.'],
        });
      const ms = every === undefined ? undefined : milliseconds(every);
      if (ms !== undefined && ms < 1_000)
        throw new CliError('--every must be at least 1s.', { code: EXIT.usage });
      const parsed = await readInput({
        io: cli.io,
        strategy,
        input: options.input,
        gates: [],
        dryRun: false,
      });
      await withSession(cli.io, globals(command), async (session) => {
        const when = { ...(ms === undefined ? {} : { every: ms }), ...(cron === undefined ? {} : { cron }) };
        const { id, changed } = await saveSchedule(session, { ...parsed, when });
        if (options.json === true)
          return cli.io.print(JSON.stringify({ id, changed, taskQueue: session.taskQueue }));
        cli.io.print(
          `${changed ? 'Changed' : 'Created'} ${id}: ${every === undefined ? cron : `every ${every}`}.`,
        );
        if ((await pollers(session)) === 0)
          cli.io.warn(`No worker polls task queue "${session.taskQueue}" yet (\`ferry worker\`).`);
        cli.io.warn(`To try it now: ferry schedule run ${id}`);
      });
    });
}

function list(verb: Command, cli: Cli): void {
  verb
    .command('list')
    .description('schedules, with their last pre-flight')
    .option('--json', 'for programs')
    .action(async (options: { json?: boolean }, command: Command) => {
      const [{ withSession }, { listSchedules }, { moment }, { pad, width }] = await Promise.all([
        import('../session.js'),
        import('../schedules.js'),
        import('../../receipt/words.js'),
        import('../layout.js'),
      ]);
      await withSession(cli.io, globals(command), async (session) => {
        const rows = await listSchedules(session);
        if (options.json === true) return cli.io.print(JSON.stringify(rows, null, 2));
        if (rows.length === 0)
          return cli.io.print(
            `No schedules in namespace "${session.namespace}" at ${session.address}. \`ferry schedule create --help\` says how to make one.`,
          );
        const cells = [
          ['ID', 'STRATEGY', 'WHEN', 'NEXT', 'LAST'],
          ...rows.map(({ id, strategy, when, paused, nextAt, runs: [last] }) => [
            id,
            strategy,
            when,
            paused ? 'paused' : nextAt === null ? '' : moment(nextAt),
            last ? `${last.outcome}, ${moment(last.startedAt)}` : 'none yet',
          ]),
        ];
        const widths = [0, 1, 2, 3].map((at) => Math.max(...cells.map((cell) => width(cell[at] ?? ''))));
        const lines = cells.map((cell) =>
          cell
            .map((text, at) => pad(text, widths[at] ?? 0))
            .join('  ')
            .trimEnd(),
        );
        const [headings = '', ...others] = lines;
        cli.io.print([cli.io.colours.dim(headings), ...others].join('\n'));
      });
    });
}

function show(verb: Command, cli: Cli): void {
  verb
    .command('show')
    .description('one schedule and its last pre-flights; the exit code is 1 where the last one failed')
    .argument('<id>', SCHEDULE)
    .option('--json', 'for programs')
    .action(async (id: string, options: { json?: boolean }, command: Command) => {
      const [{ withSession }, { scheduleOf, rowOf }] = await Promise.all([
        import('../session.js'),
        import('../schedules.js'),
      ]);
      await withSession(cli.io, globals(command), async (session) => {
        const { description } = await scheduleOf(session, id);
        const row = await rowOf(session, description, 10);
        if (options.json === true) cli.io.print(JSON.stringify(row, null, 2));
        else await print(cli, row);
        if (row.runs.find(({ outcome }) => outcome !== 'Running')?.outcome === 'Failed')
          cli.exitCode = EXIT.error;
      });
    });
}

async function print(
  cli: Cli,
  { id, strategy, name, when, paused, nextAt, runs }: ScheduleRow,
): Promise<void> {
  const { moment } = await import('../../receipt/words.js');
  const { colours } = cli.io;
  const next = paused ? 'paused' : nextAt === null ? 'none' : moment(nextAt);
  cli.io.print(`${id}: ${strategy} of ${name}, ${when}\nNext: ${next}`);
  for (const { outcome, startedAt, reason, workflowId } of runs) {
    const paint = outcome === 'Failed' ? colours.red : (text: string) => text;
    cli.io.print(`\n${moment(startedAt)}  ${paint(outcome)}${reason ? `: ${reason}` : ''}\n  ${workflowId}`);
  }
}

type Handle = Awaited<ReturnType<typeof import('../schedules.js').scheduleOf>>['handle'];

/** Of the verbs that say one thing to one schedule. */
function acting(cli: Cli, said: string, act: (handle: Handle) => Promise<unknown>) {
  return async (id: string, _: object, command: Command): Promise<void> => {
    const [{ withSession }, { scheduleOf }] = await Promise.all([
      import('../session.js'),
      import('../schedules.js'),
    ]);
    await withSession(cli.io, globals(command), async (session) => {
      const { handle } = await scheduleOf(session, id);
      await act(handle);
      cli.io.print(`${said}: ${handle.scheduleId}.`);
    });
  };
}

import type { Command } from 'commander';
import { globals, type Cli } from '../cli.js';
import { CliError, EXIT } from '../exit.js';

interface StartOptions {
  input: string;
  plan?: boolean;
  watch?: boolean;
  wait?: boolean;
  gate?: string[];
  json?: boolean;
}

export function start(program: Command, cli: Cli): void {
  program
    .command('start')
    .description('start an upgrade; its target names it, so a second one on the same target is refused')
    .argument(
      '<strategy>',
      'redisCopy, redisSwitchover, herokuInPlace, herokuFork, helmInPlace, helmRolling, helmBlueGreen, helmDumpRestore, postgresMove, providerMove, fleetRollout, rehearsal',
    )
    .requiredOption(
      '-i, --input <file>',
      'the input: a file (JSON, or YAML by its name), a JSON object, or - for stdin',
    )
    .option('--plan', 'read everything, change nothing, show the plan, and end')
    .option(
      '-g, --gate <gate=policy>',
      'settle a gate ahead: cutover=auto, or cutover=2 for two people (repeatable)',
      (one: string, all: string[] = []) => [...all, one],
    )
    .option('-w, --watch', 'follow it until it has ended; the exit code tells how')
    .option(
      '--wait',
      'end when it has ended or somebody is asked; the exit code tells which. With --watch, show it meanwhile',
    )
    .option('--json', 'print workflow ID and run ID as JSON')
    .action(async (strategy: string, options: StartOptions, command: Command) => {
      const { readInput } = await import('../input.js');
      const dryRun = options.plan === true;
      const parsed = await readInput({
        io: cli.io,
        strategy,
        input: options.input,
        gates: options.gate ?? [],
        dryRun,
      });
      const [
        { withSession },
        { look, pollers, ask },
        { watch },
        { WorkflowExecutionAlreadyStartedError },
        { shortId },
        { queries },
      ] = await Promise.all([
        import('../session.js'),
        import('../upgrade.js'),
        import('../watch.js'),
        import('@temporalio/common'),
        import('../next.js'),
        import('../../contract.js'),
      ]);
      const { workflowId } = parsed;
      const id = shortId(workflowId);
      await withSession(cli.io, globals(command), async (session) => {
        let runId: string;
        try {
          const handle = await session.client.workflow.start(parsed.strategy, {
            workflowId,
            taskQueue: session.taskQueue,
            args: [parsed.input],
            workflowIdConflictPolicy: 'FAIL',
            workflowIdReusePolicy: 'ALLOW_DUPLICATE',
          });
          runId = handle.firstExecutionRunId;
        } catch (error) {
          if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
          throw new CliError(`${workflowId} runs already: one target has one upgrade at a time.`, {
            next: [`To see it: ferry state ${id} --watch`],
            cause: error,
          });
        }
        if (options.json === true)
          cli.io.print(
            JSON.stringify({ workflowId, runId, taskQueue: session.taskQueue, namespace: session.namespace }),
          );
        else cli.io.warn(`Started ${workflowId} (run ${runId}) on task queue "${session.taskQueue}".`);
        const asleep = (await pollers(session)) === 0;
        if (asleep)
          cli.io.warn(
            `No worker polls task queue "${session.taskQueue}" yet: it begins when one does (\`ferry worker\`).`,
          );
        if (dryRun) {
          cli.exitCode = await watch(cli.io, session, workflowId, { untilAsked: true, silent: true });
          const [{ planLines }, looked] = [await import('../plan-view.js'), await look(session, workflowId)];
          const plan =
            looked.status === 'RUNNING' || looked.end?.receipt
              ? await ask(session, workflowId, queries.plan)
              : null;
          if (plan)
            cli.io.print(
              planLines(plan, {
                colours: cli.io.colours,
                columns: cli.io.tty ? cli.io.size().columns : 120,
              }).join('\n'),
            );
          // A plan whose checks fail would not get far.
          if (plan?.checks.some((check) => check.status === 'fail')) cli.exitCode = EXIT.error;
          return;
        }
        if (options.watch === true || options.wait === true) {
          cli.exitCode = await watch(cli.io, session, workflowId, {
            untilAsked: options.wait === true,
            silent: options.watch !== true,
          });
        } else if (options.json !== true) {
          cli.io.warn(`To follow it: ferry state ${id} --watch`);
        }
      });
    });
}

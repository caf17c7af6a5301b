import type { Command } from 'commander';
import { globals, ID, type Cli } from '../cli.js';

interface StateOptions {
  json?: boolean;
  watch?: boolean;
  wait?: boolean;
}

export function state(program: Command, cli: Cli): void {
  program
    .command('state')
    .description(
      'where it stands, what it waits for, how to get out, and what to type next; the exit code tells the phase',
    )
    .argument('<id>', ID)
    .option('--json', 'the whole state, for programs')
    .option('-w, --watch', 'follow it until it has ended')
    .option(
      '--wait',
      'say nothing, and end when it has ended or somebody is asked; with --watch, show it meanwhile',
    )
    .action(async (id: string, options: StateOptions, command: Command) => {
      const [{ withSession }, { look, workflowIdFor }, { codeOf, printLook, watch }] = await Promise.all([
        import('../session.js'),
        import('../upgrade.js'),
        import('../watch.js'),
      ]);
      await withSession(cli.io, globals(command), async (session) => {
        const workflowId = await workflowIdFor(session, id);
        if (options.watch === true || options.wait === true) {
          cli.exitCode = await watch(cli.io, session, workflowId, {
            untilAsked: options.wait === true,
            silent: options.watch !== true || options.json === true,
          });
          if (options.json !== true) return;
        }
        const looked = await look(session, workflowId);
        if (options.json === true) {
          const { state: told, live, end, trouble, status, runId } = looked;
          const aside = { status, runId, live, end, ...(trouble === undefined ? {} : { trouble }) };
          cli.io.print(JSON.stringify(told ? { ...told, ...aside } : { workflowId, ...aside }, null, 2));
          cli.exitCode = codeOf(looked);
        } else {
          cli.exitCode = printLook(cli.io, looked);
        }
      });
    });
}

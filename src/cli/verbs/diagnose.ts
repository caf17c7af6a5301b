import type { Command } from 'commander';
import type { Diagnosis } from '../../contract.js';
import { globals, type Cli } from '../cli.js';
import { CliError, EXIT } from '../exit.js';

interface DiagnoseOptions {
  kubeNamespace?: string;
  context?: string;
  input?: string;
  json?: boolean;
}

export function diagnose(program: Command, cli: Cli): void {
  program
    .command('diagnose')
    .description('look at a Redis in trouble, and say what to do; changes nothing')
    .argument('[release]', 'a Helm release')
    .option('-n, --kube-namespace <name>', 'where the release is (default: its own name)')
    .option('--context <name>', "the context of the worker's kubeconfig")
    .option('-i, --input <json>', 'instead: a whole input, such as {"server": {"env": "OLD_REDIS_URL"}}')
    .option('--json', 'for programs')
    .action(async (release: string | undefined, options: DiagnoseOptions, command: Command) => {
      const [{ withSession }, { endOf }, { clean }, { randomUUID }] = await Promise.all([
        import('../session.js'),
        import('../upgrade.js'),
        import('../io.js'),
        import('node:crypto'),
      ]);
      const input = inputOf(release, options);
      await withSession(cli.io, globals(command), async (session) => {
        const workflowId = `diagnose/${release ?? 'server'}/${randomUUID().slice(0, 8)}`;
        const handle = await session.client.workflow.start('diagnose', {
          workflowId,
          taskQueue: session.taskQueue,
          args: [input],
          workflowExecutionTimeout: '10m',
        });
        let found: Diagnosis;
        try {
          found = clean((await handle.result()) as Diagnosis);
        } catch (error) {
          const end = await endOf(session, workflowId).catch(() => null);
          throw end?.failure
            ? new CliError(`${end.failure.type}: ${end.failure.message}`, { cause: error })
            : error;
        }
        if (options.json === true) cli.io.print(JSON.stringify(found, null, 2));
        else print(cli, found);
        if (found.findings.some(({ lasting }) => lasting)) cli.exitCode = EXIT.error;
      });
    });
}

function inputOf(release: string | undefined, { kubeNamespace, context, input }: DiagnoseOptions): unknown {
  if (input !== undefined) {
    try {
      return JSON.parse(input);
    } catch {
      throw new CliError('--input is no JSON object.');
    }
  }
  if (release === undefined)
    throw new CliError('Say what to look at.', { next: ['ferry diagnose redis -n redis'] });
  return { namespace: kubeNamespace ?? release, release, ...(context === undefined ? {} : { context }) };
}

function print(cli: Cli, { of, findings, servers }: Diagnosis): void {
  const { colours } = cli.io;
  for (const server of servers) cli.io.print(server);
  if (findings.length === 0) cli.io.print(`Nothing was found at ${of}.`);
  for (const { what, says, evidence, next, lasting } of findings) {
    const paint = lasting ? colours.red : colours.yellow;
    cli.io.print(`\n${paint(what)}  ${says}`);
    for (const line of evidence) cli.io.print(`    ${line}`);
    cli.io.print(`  ${next}`);
  }
}

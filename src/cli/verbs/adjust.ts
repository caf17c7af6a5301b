import { InvalidArgumentError, type Command } from 'commander';
import { globals, ID, type Cli } from '../cli.js';
import { CliError, EXIT } from '../exit.js';

interface AdjustOptions {
  by?: string;
  rate?: 'yield' | 'full' | number;
  opensAt?: string;
  closesAt?: string;
}

export function adjust(program: Command, cli: Cli): void {
  program
    .command('adjust')
    .description('change settings while it runs')
    .argument('<id>', ID)
    .option('--rate <rate>', 'yield, full, or a number of keys a second', rateOf)
    .option('--opens-at <moment>', 'when the window opens, such as 2026-03-01T02:00:00Z', momentOf)
    .option('--closes-at <moment>', 'when the window closes', momentOf)
    .option('--by <name>', "who says it (default: $FERRY_BY, else git's user name, else the account's)")
    .action(async (id: string, options: AdjustOptions, command: Command) => {
      const { rate, opensAt, closesAt } = options;
      if (rate === undefined && opensAt === undefined && closesAt === undefined) {
        throw new CliError('Nothing to change.', {
          code: EXIT.usage,
          next: ['Give --rate, --opens-at or --closes-at.'],
        });
      }
      const [{ withSession }, { ask, tell, workflowIdFor }, { queries }, { speaker }] = await Promise.all([
        import('../session.js'),
        import('../upgrade.js'),
        import('../../contract.js'),
        import('../speaker.js'),
      ]);
      const by = await speaker(cli.io, options.by);
      await withSession(cli.io, globals(command), async (session) => {
        const workflowId = await workflowIdFor(session, id);
        let window: { opensAt: string; closesAt: string } | undefined;
        if (opensAt !== undefined || closesAt !== undefined) {
          // One end given: the other stays as it is.
          const now =
            opensAt !== undefined && closesAt !== undefined
              ? undefined
              : (await ask(session, workflowId, queries.state)).settings.window;
          const [opens, closes] = [opensAt ?? now?.opensAt, closesAt ?? now?.closesAt];
          if (opens === undefined || closes === undefined) {
            throw new CliError('It has no window yet.', {
              code: EXIT.usage,
              next: ['Give both --opens-at and --closes-at.'],
            });
          }
          window = { opensAt: opens, closesAt: closes };
        }
        cli.io.print(
          await tell(session, workflowId, 'adjust', {
            by,
            ...(rate === undefined ? {} : { rate }),
            ...(window === undefined ? {} : { window }),
          }),
        );
      });
    });
}

function rateOf(text: string): 'yield' | 'full' | number {
  if (text === 'yield' || text === 'full') return text;
  const number = Number(text);
  if (!(number > 0)) throw new InvalidArgumentError('Give yield, full, or a number of keys a second.');
  return number;
}

function momentOf(text: string): string {
  const at = Date.parse(text);
  // Without a zone it would mean another moment on another machine.
  if (Number.isNaN(at) || !/(Z|[+-]\d\d:?\d\d)$/i.test(text))
    throw new InvalidArgumentError('Give a date and time with a zone, such as 2026-03-01T02:00:00Z.');
  return new Date(at).toISOString();
}

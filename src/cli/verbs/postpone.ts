import type { Command } from 'commander';
import { ID, withSpeaker, type Cli } from '../cli.js';
import { CliError, EXIT } from '../exit.js';
import { durationOf, momentOf } from '../values.js';

export function postpone(program: Command, cli: Cli): void {
  withSpeaker(
    program
      .command('postpone')
      .description('begin the cutover later; said again, at another moment. Refused once it has begun')
      .argument('<id>', ID)
      .option('--until <moment>', 'not before it, such as 2026-03-01T02:00:00Z', momentOf)
      .option('--for <time>', 'not before so much time has passed, such as 30m', durationOf),
  ).action(async (id: string, options: { until?: string; for?: string }, command: Command) => {
    const { until, for: length } = options;
    if ((until === undefined) === (length === undefined))
      throw new CliError(
        until === undefined ? 'Postpone it until when?' : 'Both --until and --for are given.',
        {
          code: EXIT.usage,
          next: ['Give either --until or --for.'],
        },
      );
    const { say } = await import('../say.js');
    await say({
      cli,
      command,
      id,
      name: 'postpone',
      rest: {
        ...(until === undefined ? {} : { until }),
        ...(length === undefined ? {} : { for: length }),
      },
    });
  });
}

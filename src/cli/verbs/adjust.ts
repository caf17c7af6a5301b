import type { Command } from 'commander';
import { globals, ID, withSpeaker, type Cli, type SpeakerOptions } from '../cli.js';
import { CliError, EXIT } from '../exit.js';
import { bytesOf, durationOf, momentOf, rateOf } from '../values.js';

interface AdjustOptions extends SpeakerOptions {
  rate?: 'yield' | 'full' | number;
  opensAt?: string;
  closesAt?: string;
  maxPause?: string;
  maxLag?: number;
}

export function adjust(program: Command, cli: Cli): void {
  withSpeaker(
    program
      .command('adjust')
      .description('change settings while it runs')
      .argument('<id>', ID)
      .option('--rate <rate>', 'yield, full, or a number of keys a second', rateOf)
      .option('--opens-at <moment>', 'when the window opens, such as 2026-03-01T02:00:00Z', momentOf)
      .option('--closes-at <moment>', 'when the window closes', momentOf)
      .option('--max-pause <time>', 'the longest that writes may wait in the cutover, 20ms to 1m', durationOf)
      .option(
        '--max-lag <bytes>',
        'how far the target may be behind for a pause to be begun, such as 4mb (redisSwitchover)',
        bytesOf,
      ),
  ).action(async (id: string, options: AdjustOptions, command: Command) => {
    const { rate, opensAt, closesAt, maxPause, maxLag, note } = options;
    if ([rate, opensAt, closesAt, maxPause, maxLag].every((option) => option === undefined)) {
      throw new CliError('Nothing to change.', {
        code: EXIT.usage,
        next: ['Give --rate, --max-pause, --max-lag, --opens-at or --closes-at.'],
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
          ...(maxPause === undefined ? {} : { maxPause }),
          ...(maxLag === undefined ? {} : { maxLag }),
          ...(note === undefined ? {} : { note }),
        }),
      );
    });
  });
}

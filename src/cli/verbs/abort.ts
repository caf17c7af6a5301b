import type { Command } from 'commander';
import { ID, withSpeaker, type Cli } from '../cli.js';

export function abort(program: Command, cli: Cli): void {
  withSpeaker(program.command('abort').description('stop here and undo nothing').argument('<id>', ID))
    .option(
      '--leave-as-is',
      'needed once something was changed: what is there stays, and the receipt lists it',
    )
    .action(async (id: string, options: { leaveAsIs?: boolean }, command: Command) => {
      const { say } = await import('../say.js');
      await say({
        cli,
        command,
        id,
        name: 'abort',
        rest: options.leaveAsIs === true ? { leaveAsIs: true } : {},
      });
    });
}

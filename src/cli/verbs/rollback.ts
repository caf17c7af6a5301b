import type { Command } from 'commander';
import { ID, withSpeaker, type Cli } from '../cli.js';

export function rollback(program: Command, cli: Cli): void {
  withSpeaker(program.command('rollback').description('undo everything done so far').argument('<id>', ID))
    .option('--accept-loss', 'go back although writes made since the cutover are lost by it')
    .action(async (id: string, options: { acceptLoss?: boolean }, command: Command) => {
      const { say } = await import('../say.js');
      await say({
        cli,
        command,
        id,
        name: 'rollback',
        rest: options.acceptLoss === true ? { acceptLoss: true } : {},
      });
    });
}

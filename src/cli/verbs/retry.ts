import type { Command } from 'commander';
import { ID, withSpeaker, type Cli } from '../cli.js';

export function retry(program: Command, cli: Cli): void {
  withSpeaker(program.command('retry').description('try the failed step again').argument('<id>', ID)).action(
    async (id: string, _: unknown, command: Command) => {
      const { say } = await import('../say.js');
      await say({ cli, command, id, name: 'retry', rest: {} });
    },
  );
}

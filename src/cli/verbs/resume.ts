import type { Command } from 'commander';
import { ID, withSpeaker, type Cli } from '../cli.js';

export function resume(program: Command, cli: Cli): void {
  withSpeaker(program.command('resume').description('go on after a pause').argument('<id>', ID)).action(
    async (id: string, _: unknown, command: Command) => {
      const { say } = await import('../say.js');
      await say({ cli, command, id, name: 'resume', rest: {} });
    },
  );
}

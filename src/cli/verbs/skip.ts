import type { Command } from 'commander';
import { ID, withSpeaker, type Cli } from '../cli.js';

export function skip(program: Command, cli: Cli): void {
  withSpeaker(
    program
      .command('skip')
      .description('skip the step that failed, where the decision offers it')
      .argument('<id>', ID),
  ).action(async (id: string, _: unknown, command: Command) => {
    const { say } = await import('../say.js');
    await say({ cli, command, id, name: 'skip', rest: {} });
  });
}

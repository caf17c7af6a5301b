import type { Command } from 'commander';
import { ID, withSpeaker, type Cli } from '../cli.js';

export function pause(program: Command, cli: Cli): void {
  withSpeaker(
    program
      .command('pause')
      .description('hold it before the next step; a running copy keeps its checkpoint')
      .argument('<id>', ID),
  ).action(async (id: string, _: unknown, command: Command) => {
    const { say } = await import('../say.js');
    await say({ cli, command, id, name: 'pause', rest: {} });
  });
}

import type { Command } from 'commander';
import { ID, withSpeaker, type Cli } from '../cli.js';

export function reject(program: Command, cli: Cli): void {
  withSpeaker(
    program
      .command('reject')
      .description('say no at a gate: everything done so far is undone')
      .argument('<id>', ID)
      .argument('<gate>', 'name of the gate'),
  ).action(async (id: string, gate: string, _: unknown, command: Command) => {
    const { say } = await import('../say.js');
    await say({ cli, command, id, name: 'reject', rest: { gate } });
  });
}

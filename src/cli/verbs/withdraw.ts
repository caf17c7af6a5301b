import type { Command } from 'commander';
import { ID, withSpeaker, type Cli } from '../cli.js';

export function withdraw(program: Command, cli: Cli): void {
  withSpeaker(
    program
      .command('withdraw')
      .description('take back your approval of a gate, before it is used: the gate asks again')
      .argument('<id>', ID)
      .argument('<gate>', 'name of the gate'),
  ).action(async (id: string, gate: string, _: unknown, command: Command) => {
    const { say } = await import('../say.js');
    await say({ cli, command, id, name: 'withdraw', rest: { gate } });
  });
}

import type { Command } from 'commander';
import { ID, withSpeaker, type Cli } from '../cli.js';

export function waive(program: Command, cli: Cli): void {
  withSpeaker(
    program
      .command('waive')
      .description('go on although a check failed; the receipt says who waived it')
      .argument('<id>', ID)
      .argument('<check>', 'name of the check, as `ferry state` shows it'),
  ).action(async (id: string, check: string, _: unknown, command: Command) => {
    const { say } = await import('../say.js');
    await say({ cli, command, id, name: 'waive', rest: { check } });
  });
}

import type { Command } from 'commander';
import { ID, type Cli } from '../cli.js';

export function tick(program: Command, cli: Cli): void {
  program
    .command('tick')
    .description('tick what was left to do by hand, or an item of the checklist that no program can see')
    .argument('<id>', ID)
    .argument('<item>', 'the follow-up, as the input names it, or the name of the check')
    .option('--by <name>', "who did it (default: $FERRY_BY, else git's user name, else the account's)")
    .action(async (id: string, item: string, _: unknown, command: Command) => {
      const { say } = await import('../say.js');
      await say({ cli, command, id, name: 'tick', rest: { item } });
    });
}

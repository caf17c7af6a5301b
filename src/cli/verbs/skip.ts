import type { Command } from 'commander';
import { ID, withSpeaker, type Cli } from '../cli.js';

export function skip(program: Command, cli: Cli): void {
  withSpeaker(
    program
      .command('skip')
      .description('skip the step that failed, where the decision offers it; or a target of a fleet')
      .argument('<id>', ID)
      .option('--target <name>', 'of a fleet: leave this target out, which was not begun'),
  ).action(async (id: string, { target }: { target?: string }, command: Command) => {
    const { say } = await import('../say.js');
    await say({ cli, command, id, name: 'skip', rest: target === undefined ? {} : { target } });
  });
}

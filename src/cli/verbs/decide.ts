import { Argument, type Command } from 'commander';
import type { Choice } from '../../contract.js';
import { ID, withSpeaker, type Cli } from '../cli.js';

const CHOICES = [
  'retry',
  'skip',
  'continue',
  'rollback',
  'rollbackLosingWrites',
  'stop',
] as const satisfies readonly Choice[];

export function decide(program: Command, cli: Cli): void {
  withSpeaker(
    program
      .command('decide')
      .description('answer a decision; `ferry state` shows which choices it offers and what each does')
      .argument('<id>', ID)
      .addArgument(new Argument('<choice>', 'what to do').choices(CHOICES)),
  ).action(async (id: string, choice: Choice, _: unknown, command: Command) => {
    const { say } = await import('../say.js');
    await say({ cli, command, id, name: 'decide', rest: { choice } });
  });
}

/** The verbs that say one thing to a running upgrade and print its answer. Heavy: import it lazily. */
import type { MessageName, Messages } from '../contract.js';
import type { Command } from 'commander';
import { globals, type Cli, type SpeakerOptions } from './cli.js';
import { withSession } from './session.js';
import { speaker } from './speaker.js';
import { tell, workflowIdFor } from './upgrade.js';

/** What remains of a message when who says it and why are taken off. */
type Rest<Name extends MessageName> = Omit<Messages[Name], 'by' | 'note'>;

export async function say<Name extends MessageName>(options: {
  cli: Cli;
  command: Command;
  id: string;
  name: Name;
  rest: Rest<Name>;
}): Promise<void> {
  const { cli, command, id, name, rest } = options;
  const { by, note } = command.opts<SpeakerOptions>();
  const who = { by: await speaker(cli.io, by), ...(note === undefined ? {} : { note }) };
  await withSession(cli.io, globals(command), async (session) => {
    // `rest` was checked by the caller's types; the sum of the two is the message.
    const message = { ...rest, ...who } as unknown as Messages[Name];
    cli.io.print(await tell(session, await workflowIdFor(session, id), name, message));
  });
}

/** What a server is used for, asked without changing anything; and what of it two servers don't share. */
import type { Redis } from 'ioredis';
import { habitsOf, type Habits } from './clients.js';
import { commandsBetween, commandsOf, type CommandsBetween, type CommandsOf } from './commands.js';
import { stateOf, type ServerState } from './server.js';
import { usersBetween, usersOf, type AclUser, type UsersBetween } from './users.js';

/** Of one server. Holds hashes of passwords: it stays where it was read. */
export interface Survey {
  commands: CommandsOf;
  users: AclUser[] | null;
  clients: Habits | null;
  state: ServerState;
}

/** Of a pair. Counts and names only. */
export interface CoupleSurvey {
  commands: CommandsBetween;
  /** Null where one of both doesn't permit ACL LIST. */
  users: UsersBetween | null;
  /** Of the source; null where CLIENT LIST isn't permitted. */
  clients: Habits | null;
  source: ServerState;
  target: ServerState;
}

export async function surveyOf({ client }: { client: Redis }): Promise<Survey> {
  return {
    commands: await commandsOf({ client }),
    users: await usersOf({ client }),
    clients: await habitsOf({ client }),
    state: await stateOf({ client }),
  };
}

export function surveyBetween({ source, target }: { source: Survey; target: Survey }): CoupleSurvey {
  return {
    commands: commandsBetween({ source: source.commands, target: target.commands }),
    users: usersBetween({ source: source.users, target: target.users }),
    clients: source.clients,
    source: source.state,
    target: target.state,
  };
}

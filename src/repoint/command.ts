/** A command that repoints. It gets the serving side by environment. */
import { runCommand } from '../platform/command.js';
import { rememberSecret } from '../platform/redact.js';
import { quoted } from '../inputs/in-shell.js';
import { urlInShell } from '../redis/break-glass.js';
import { inside, shown } from '../redis/address.js';
import type { CommandSpec } from '../inputs/refs.js';
import { urlOf, type ByHandInput, type RepointInput, type SpecOf } from './types.js';

type Spec = SpecOf<'command'>;

export async function repointCommand({
  spec,
  direction,
  name,
  serving,
  signal,
}: RepointInput<Spec>): Promise<string> {
  const url = urlOf(serving);
  rememberSecret(url);
  const { seconds } = await runCommand({
    label: direction === 'forward' ? 'repoint' : 'repoint back',
    spec: commandFor({ spec, direction }),
    name,
    step: direction === 'forward' ? 'Repoint' : 'Repoint back',
    env: {
      FERRY_DIRECTION: direction,
      FERRY_URL: url,
      FERRY_HOST: inside(serving.address).host,
      FERRY_PORT: String(inside(serving.address).port),
      FERRY_DB: String(serving.database),
    },
    signal,
  });
  return `the command took ${seconds} s; it was given ${shown(serving.address)}`;
}

function commandFor({ spec, direction }: Pick<RepointInput<Spec>, 'spec' | 'direction'>): CommandSpec {
  return direction === 'back' && spec.undo ? spec.undo : spec;
}

export function describeCommand(spec: Spec): string[] {
  return [
    `Run ${words(spec)} with FERRY_DIRECTION=forward`,
    `Back: ${spec.undo ? `run ${words(spec.undo)}` : 'the same command'} with FERRY_DIRECTION=back`,
  ];
}

export function byHandCommand({ spec, direction, name, serving, endpoint }: ByHandInput<Spec>): string[] {
  const command = commandFor({ spec, direction });
  const { host, port } = inside(serving.address);
  // Given by name, so that neither secrets nor the worker's variables stand in the card.
  const named = Object.entries(command.env ?? {}).map(([variable, ref]) => `${variable}=${urlInShell(ref)}`);
  const env = [
    ...named,
    `FERRY_NAME=${quoted(name)}`,
    `FERRY_DIRECTION=${direction}`,
    `FERRY_URL=${urlInShell(endpoint)}`,
    `FERRY_HOST=${quoted(host)}`,
    `FERRY_PORT=${port}`,
    `FERRY_DB=${quoted(String(serving.database))}`,
  ];
  return [`env ${env.join(' ')} ${words(command)}`];
}

function words({ command }: CommandSpec): string {
  return typeof command === 'string' ? `sh -c ${quoted(command)}` : command.map(quoted).join(' ');
}

/** A webhook that repoints. It gets no secret: whoever answers it knows the password already. */
import { placeOf } from '../inputs/refs.js';
import { post, originOf } from '../platform/webhook.js';
import { quoted } from '../inputs/in-shell.js';
import { urlInShell } from '../redis/break-glass.js';
import type { ServerAddress } from '../redis/address.js';
import { shown } from '../redis/address.js';
import type { ByHandInput, Direction, RepointInput, SpecOf } from './types.js';

type Spec = SpecOf<'webhook'>;

interface RepointBody {
  event: 'repoint';
  name: string;
  direction: Direction;
  host: string;
  port: number;
  database: number | string;
  tls: boolean;
}

interface BodyInput {
  name: string;
  direction: Direction;
  serving: { address: Pick<ServerAddress, 'host' | 'port' | 'tls'>; database: number | string };
}

function bodyOf({ name, direction, serving }: BodyInput): RepointBody {
  const { host, port, tls } = serving.address;
  return {
    event: 'repoint',
    name,
    direction,
    host,
    port,
    database: serving.database,
    tls: tls !== undefined,
  };
}

export async function repointWebhook({
  spec,
  direction,
  name,
  serving,
  signal,
}: RepointInput<Spec>): Promise<string> {
  const { status, seconds } = await post({
    spec,
    where: 'repoint.webhook',
    body: bodyOf({ name, direction, serving }),
    signal,
  });
  return `the webhook answered ${status} in ${seconds} s; it was given ${shown(serving.address)}`;
}

export function describeWebhook(spec: Spec): string[] {
  const where =
    typeof spec.webhook === 'string' ? originOf(spec.webhook) : `the address in ${placeOf(spec.webhook)}`;
  return [
    `POST host, port and database of the serving side to ${where}, without the password`,
    'Back: the same with "direction": "back"',
  ];
}

export function byHandWebhook({ spec, direction, name, serving }: ByHandInput<Spec>): string[] {
  const url = typeof spec.webhook === 'string' ? quoted(spec.webhook) : urlInShell(spec.webhook);
  const body = JSON.stringify(bodyOf({ name, direction, serving }));
  return [`curl -fsS -H 'content-type: application/json' -d ${quoted(body)} ${url}`];
}

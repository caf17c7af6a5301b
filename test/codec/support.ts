/* Keys in a file, an upgrade whose clients have them, and everything that Temporal stores of it as it can be read without them. */
import { randomBytes } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, type Connection } from '@temporalio/client';
import { dataConverter } from '../../src/codec/converter.js';
import { workflowIdOf } from '../../src/contract.js';
import type { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import { upgradeOf, type Upgrade, type World } from '../support/world.js';

/** A line of a file of keys. */
export function newKey(id: string): string {
  return `${id} ${randomBytes(32).toString('base64')}`;
}

/** As an editor saves it: whole, under the same name. */
export async function writeKeys(path: string, ...keys: string[]): Promise<void> {
  await writeFile(`${path}.new`, `# keys of the test\n${keys.join('\n')}\n`);
  await rename(`${path}.new`, path);
}

export function keysFile(w: World, name = 'codec-keys'): string {
  return join(w.folder, name);
}

/** A client as a script has it. */
export async function clientWith(w: World, keys: string | undefined): Promise<Client> {
  return new Client({
    connection: w.client.connection as Connection,
    dataConverter: await dataConverter(keys),
  });
}

export async function start(w: World, client: Client, input: Partial<RedisCopyInput> = {}): Promise<Upgrade> {
  const id = workflowIdOf('redisCopy', w.name);
  const whole = {
    name: w.name,
    source: { env: 'OLD_REDIS_URL' },
    target: { env: 'NEW_REDIS_URL' },
    writes: 'running',
    watch: '1s',
    repoint: { kind: 'file', path: w.addressFile },
    ...input,
  };
  const handle = await client.workflow.start('redisCopy', {
    taskQueue: w.taskQueue,
    workflowId: id,
    args: [whole],
  });
  return upgradeOf(handle, id);
}

/** A message of Temporal's as text, and behind it each payload in it as text. */
export function legible(message: unknown): string {
  const exported = exportedText(message);
  const payloads = [...exported.matchAll(/"(?:bytes|data)":"([A-Za-z0-9+/=]+)"/g)].map(([, data]) =>
    decoded(data),
  );
  return [exported, ...payloads].join('\n');
}

/** Ids of the keys that the payloads of a message were encrypted with, in order. */
export function keyIds(message: unknown): string[] {
  return [...exportedText(message).matchAll(/"encryption-key-id":(?:\{"bytes":)?"([^"]+)"/g)].map(([, id]) =>
    decoded(id),
  );
}

/** Messages write bytes as base64; so do we where they are left as they are. */
function exportedText(message: unknown): string {
  return JSON.stringify(message, (_, inner: unknown) => {
    if (inner instanceof Uint8Array) return { bytes: Buffer.from(inner).toString('base64') };
    return typeof inner === 'bigint' ? String(inner) : inner;
  });
}

function decoded(base64: string | undefined): string {
  return Buffer.from(base64 ?? '', 'base64').toString('utf8');
}

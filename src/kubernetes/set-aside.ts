/**
 * The files of a replica, set aside on its own volume while it runs from memory: so that it comes up empty in a version that does not read
 * them, and gets everything from its primary again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import { shown } from '../redis/address.js';
import { failureOn, placeOf } from '../redis/connect.js';
import { parseInfo } from '../redis/info.js';
import { settingsNamed } from '../redis/settings.js';
import { kubectl, type Namespace } from './kubectl.js';

const FOLDER = 'redis-ferry-aside';
const SAVES_WITHIN_MS = 10 * 60_000;

export interface AtVolume extends Namespace {
  pod: string;
  container: string;
  signal?: AbortSignal | undefined;
}

/** Nothing is removed. It saves nothing any more from here on. Returns the folder. @throws FerryError */
export async function setAside(on: AtVolume & { client: Redis }): Promise<string> {
  const { client, ...at } = on;
  const names = ['dir', 'dbfilename', 'appendfilename', 'appenddirname'];
  const settings = await settingsNamed({ client, names });
  const { dir = '', dbfilename = '', appendfilename = '', appenddirname = '' } = settings;
  const folder = `${dir}/${FOLDER}`;
  if (dir === '' || dbfilename === '')
    throw new FerryError('NotPermitted', `${shown(placeOf(client))} does not say where its files are`);
  await act(client, 'save', '');
  await act(client, 'appendonly', 'no');
  await savedNothing(client, at.signal);
  const files = [dbfilename, appendfilename, appenddirname].filter((name) => name !== '');
  // By place and not by text: the names are the server's.
  await exec(at, [
    'cd "$1" && mkdir -p "$2" && shift 2 && for f in "$@"; do if [ -e "$f" ]; then mv -f "$f" "$0/"; fi; done',
    FOLDER,
    dir,
    FOLDER,
    ...files,
  ]);
  return folder;
}

/** Once its copy is in step. Harmless where there is none. */
export async function removeAside(on: AtVolume & { folder: string }): Promise<void> {
  const { folder, ...at } = on;
  if (!folder.endsWith(`/${FOLDER}`)) throw new Error('no folder of ours');
  await exec(at, ['rm -rf "$1"', 'sh', folder]);
}

/** A save that is under way would put its file there. */
async function savedNothing(client: Redis, signal: AbortSignal | undefined): Promise<void> {
  for (const until = Date.now() + SAVES_WITHIN_MS; ; await sleep(200, undefined, { signal })) {
    const info = parseInfo(String(await client.call('INFO', 'persistence')));
    if (info['rdb_bgsave_in_progress'] !== '1' && info['aof_rewrite_in_progress'] !== '1') return;
    if (Date.now() > until)
      throw new FerryError(
        'BackupFailed',
        `${shown(placeOf(client))} has been saving for ${SAVES_WITHIN_MS / 60_000} minutes`,
      );
  }
}

async function act(client: Redis, name: string, value: string): Promise<void> {
  await client.call('CONFIG', 'SET', name, value).catch((error: unknown) => {
    throw failureOn(client, error);
  });
}

async function exec({ pod, container, ...where }: AtVolume, script: string[]): Promise<void> {
  await kubectl({
    ...where,
    changes: true,
    timeout: '60s',
    args: ['exec', pod, '-c', container, '--', 'sh', '-ec', ...script],
  });
}

/** The first look at both databases, and the checklist. */
import { join } from 'node:path';
import type { Check } from '../contract.js';
import { FerryError } from '../errors.js';
import type { PostgresMoveSettings } from '../inputs/postgres-move.js';
import { backupsOf, roomAt } from '../platform/backup-folder.js';
import { openByHand, reconnectByHand } from '../postgres/by-hand.js';
import { describeDatabase, type DatabaseFacts } from '../postgres/describe.js';
import { isEmpty } from '../postgres/empty.js';
import { preflightMove } from '../postgres/preflight/index.js';
import { resolveDatabase } from '../postgres/resolve.js';
import { chooseTools, postgresTools } from '../postgres/tools.js';
import { describeRepoint, preflightRepoint, repointByHand } from '../repoint/index.js';
import { urlInShell } from '../redis/break-glass.js';
import { border } from './border.js';
import { restingApps, type Resting } from './heroku-apps.js';
import { nameOf, ours, servingAt, sourceEndpoint } from './postgres-sides.js';

export interface MoveFacts {
  source: DatabaseFacts;
  target: DatabaseFacts;
  /** The target holds something. */
  holds: boolean;
  /** Of the tools on the worker. */
  tools: { version: string; major: number };
  /** Folders on the worker: of the source's dump, and of that of what the target holds. */
  folders: { source: string; kept: string };
  room: { free: number | null; why: string | null };
  /** The apps that come to rest; null: none. */
  resting: Resting | null;
  repointSays: string[];
  byHand: { open: string[]; repointBack: string[]; openTarget: string[] };
}

/** @throws FerryError MissingSecret, Unreachable, WrongPassword, ToolMissing …: what an input may have wrong */
export async function describeDatabases(input: { settings: PostgresMoveSettings }): Promise<MoveFacts> {
  return border(async (b) => {
    const { settings } = input;
    const endpoint = sourceEndpoint(settings.source);
    const { signal } = b;
    const [from, to] = await Promise.all([
      resolveDatabase({ endpoint, where: 'source', signal }),
      resolveDatabase({ endpoint: settings.target, where: 'target', signal }),
    ]);
    const at = { name: nameOf(b), signal };
    const [source, target] = await Promise.all([
      describeDatabase({ ...at, address: from }, ours(b)),
      describeDatabase({ ...at, address: to }, ours(b)),
    ]);
    const { version, major } = chooseTools({
      tools: await postgresTools(signal),
      source: source.major,
      target: target.major,
    });
    const folder = backupsOf(b.workflowId, settings.folder ?? null);
    const named = (what: string): string => join(folder, `postgres-${b.runId.slice(0, 8)}-${what}`);
    const apps = appsOf(settings);
    const url = urlInShell(endpoint);
    const needed = new Set(source.extensions.map(({ name }) => name));
    return {
      source: { ...source, available: {} },
      target: {
        ...target,
        available: Object.fromEntries(Object.entries(target.available).filter(([name]) => needed.has(name))),
      },
      holds: !isEmpty(target.held),
      tools: { version, major },
      folders: { source: named('source'), kept: named('target-before') },
      room: await roomAt(folder),
      resting: apps.length > 0 ? await restingApps(b, apps) : null,
      repointSays: describeRepoint(settings.repoint),
      byHand: {
        open: [
          ...openByHand({ address: from, url, before: source.readOnly }),
          ...reconnectByHand({ address: from, url }),
        ],
        openTarget: openByHand({
          address: to,
          url: urlInShell(settings.target),
          before: target.readOnly,
        }),
        repointBack: repointByHand({
          spec: settings.repoint,
          direction: 'back',
          name: settings.name,
          serving: servingAt({ address: from }),
          endpoint,
        }),
      },
    };
  });
}

/** Names of the apps that come to rest. */
function appsOf({ maintenance, source }: PostgresMoveSettings): string[] {
  if (maintenance) return maintenance;
  return typeof source === 'object' && 'herokuBackup' in source ? [source.herokuBackup.app] : [];
}

export async function preflightDatabases(input: {
  settings: PostgresMoveSettings;
  facts: MoveFacts;
}): Promise<Check[]> {
  return border(async (b) => {
    const { settings, facts } = input;
    const { source, target, tools, room, folders, resting } = facts;
    if (resting && resting.notUndone.length > 0)
      throw new FerryError(
        'Locked',
        `The apps are at rest because of another upgrade (${resting.notUndone.join(', ')}). Wait until it has ended, or run \`ferry recover\`, then begin again`,
      );
    return [
      ...preflightMove({
        source,
        target,
        tools,
        room,
        folder: folders.source,
        clean: settings.clean,
        tries: settings.backup?.verify === true,
        stopped: settings.stopWrites !== undefined || resting !== null,
        notified: settings.notify !== undefined,
        workflowId: b.workflowId,
        fromBackup: typeof settings.source === 'object' && 'herokuBackup' in settings.source,
      }),
      ...(await preflightRepoint({
        spec: settings.repoint,
        source: { host: source.host, port: source.port },
        signal: b.signal,
      })),
    ];
  });
}

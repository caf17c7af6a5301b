/** Dumping, restoring and comparing; and undoing that. */
import { mkdir, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { UndoResult } from '../contract.js';
import {
  backupInfo,
  backupUrl,
  captureBackup,
  downloadBackup,
  payingApp,
  type BackedUp,
} from '../heroku/pg-backups.js';
import { inBackupFolder } from '../platform/backup-folder.js';
import { dumpDatabase, dumpIn, removeDump, seal, type DumpFacts } from '../postgres/dump.js';
import { emptyTarget, fillTarget, keepContent, putBack, takeOut, type Filled } from '../postgres/fill.js';
import { compareDatabases as compare, type Compared } from '../postgres/same.js';
import { dropTrial, tryDump } from '../postgres/trial.js';
import { border, type Border } from './border.js';
import { hold, onDatabase, reach, toolsFor, type DatabaseSides } from './postgres-sides.js';

export type { DumpFacts } from '../postgres/dump.js';
export type { Filled } from '../postgres/fill.js';
export type { Compared } from '../postgres/same.js';

interface Into {
  sides: DatabaseSides;
  /** On the worker. */
  folder: string;
}

/** Names the files of an attempt. */
function order({ hand }: Pick<Border<never>, 'hand'>): string {
  return hand.slice(hand.lastIndexOf(':') + 1);
}

function shows(b: Pick<Border<never>, 'show'>, step: string, unit: string) {
  return (done: number, total: number) => b.show({ step, done, total, unit, counts: {} });
}

/** Begins anew each time, in a folder of its own: half a dump is of no use. */
export async function dumpSource(input: Into & { tables: number }): Promise<DumpFacts> {
  return border(async (b) => {
    const { sides, folder, tables } = input;
    const tools = await toolsFor(b, sides);
    const { at, session } = await hold(b, sides, 'source');
    await session.end();
    return inBackupFolder({
      path: folder,
      hand: order(b),
      work: (files) =>
        dumpDatabase({
          ...at,
          tools,
          folder: files.at(''),
          jobs: sides.jobs,
          whole: false,
          onProgress: (seen) =>
            b.show({
              step: 'Dump the source',
              done: seen.tables,
              total: tables,
              unit: 'tables',
              counts: { bytes: seen.bytes },
            }),
        }),
    });
  });
}

/** The newest backup of before it was closed to writes, which is not the one. */
interface Begun {
  before: string | null;
}

/** A backup of Heroku, taken after the source was closed. One that an attempt before has asked for is waited for. */
export async function takeHerokuBackup(
  of: BackedUp,
): Promise<{ name: string; paying: string; seconds: number }> {
  return border<{ name: string; paying: string; seconds: number }, Begun>(async (b) => {
    const began = Date.now();
    const asked = { ...of, signal: b.signal };
    const paying = await payingApp(asked);
    const newest = async () => (await backupInfo({ app: paying, signal: b.signal }))?.name ?? null;
    const begun = b.last ?? { before: await newest() };
    await b.stillCurrent(begun);
    const { name } = await captureBackup({ ...asked, paying, before: begun.before });
    return { name, paying, seconds: Math.round((Date.now() - began) / 1_000) };
  });
}

/** Goes on where an attempt before broke off. */
export async function downloadHerokuBackup(input: {
  name: string;
  paying: string;
  folder: string;
}): Promise<DumpFacts> {
  return border(async (b) => {
    const { name, paying: app, folder } = input;
    const began = Date.now();
    const path = `${folder}.${name}`;
    await mkdir(dirname(folder), { recursive: true, mode: 0o700 });
    await downloadBackup({
      url: () => backupUrl({ app, name, signal: b.signal }),
      path,
      onProgress: (done, total) =>
        b.show({ step: 'Download the backup', done, total, unit: 'bytes', counts: {} }),
      signal: b.signal,
    });
    const sealed = await inBackupFolder({
      path: folder,
      hand: order(b),
      work: async (files) => {
        await rename(path, dumpIn(files.at('')));
        return seal(files.at(''));
      },
    });
    return { ...sealed, seconds: Math.round((Date.now() - began) / 1_000), version: 'Heroku' };
  });
}

/** Undo of a dump, and what is left to do when it is of no use any more. */
export async function dropDump({ folder }: { folder: string }): Promise<UndoResult> {
  return border<UndoResult>(async () => {
    await removeDump(folder);
    return { note: 'the dump is deleted' };
  });
}

/** What the target holds, as a whole, to be put back. */
export async function keepTargetContent(input: Into): Promise<DumpFacts> {
  return border(async (b) => {
    const { sides, folder } = input;
    const tools = await toolsFor(b, sides);
    const { at, session } = await hold(b, sides, 'target');
    await session.end();
    const { jobs } = sides;
    return inBackupFolder({
      path: folder,
      hand: order(b),
      work: (files) =>
        keepContent({
          at,
          workflowId: b.workflowId,
          major: sides.target.major,
          tools,
          jobs,
          folder: files.at(''),
          onProgress: shows(b, 'Keep what the target holds', 'tables'),
        }),
    });
  });
}

/** By restoring it into a database of its own on the target's server. `compared`: null where the user may make none. */
export async function tryKeptDump(
  input: Into & { database: string },
): Promise<{ compared: Compared | null }> {
  return border(async (b) => {
    const { sides, folder, database } = input;
    const more = await filling(b, sides);
    return onDatabase(b, sides, 'target', async (held) => ({
      compared: await tryDump({ ...more, ...held, folder, database }),
    }));
  });
}

/** Undo of the above. */
export async function dropTrialDatabase(input: {
  sides: DatabaseSides;
  database: string;
}): Promise<UndoResult> {
  return border<UndoResult>(async (b) => {
    const { sides, database } = input;
    return onDatabase(b, sides, 'target', async (held) => {
      await dropTrial({ ...held, database });
      return { note: `the database ${database} is gone` };
    });
  });
}

export async function emptyTargetDatabase(input: Into): Promise<{ found: string }> {
  return border(async (b) => {
    const { sides, folder } = input;
    return onDatabase(b, sides, 'target', async (held) =>
      emptyTarget({ ...(await filling(b, sides)), ...held, kept: folder }),
    );
  });
}

/** Undo of the above: to the last row, or it fails. */
export async function putTargetBack(input: Into): Promise<UndoResult> {
  return border<UndoResult>(async (b) => {
    const { sides, folder } = input;
    return onDatabase(b, sides, 'target', async (held) => ({
      note: await putBack({ ...(await filling(b, sides)), ...held, kept: folder }),
    }));
  });
}

export async function fillTargetDatabase(input: Into): Promise<Filled> {
  return border(async (b) => {
    const { sides, folder } = input;
    return onDatabase(b, sides, 'target', async (held) =>
      fillTarget({ ...(await filling(b, sides)), ...held, folder }),
    );
  });
}

/** Undo of the above. `cleaned`: what the target held before is put back next. */
export async function takeOutOfTarget(input: {
  sides: DatabaseSides;
  cleaned: boolean;
}): Promise<UndoResult> {
  return border<UndoResult>(async (b) => {
    const { sides, cleaned } = input;
    return onDatabase(b, sides, 'target', async ({ session }) => ({
      note: await takeOut({ session, workflowId: b.workflowId, keepMark: cleaned }),
    }));
  });
}

async function filling(b: Pick<Border<never>, 'workflowId' | 'signal' | 'show'>, sides: DatabaseSides) {
  return {
    workflowId: b.workflowId,
    major: sides.target.major,
    tools: await toolsFor(b, sides),
    jobs: sides.jobs,
    onProgress: shows(b, 'Restore into the target', 'items'),
  };
}

/** Nothing is changed on either side. */
export async function compareDatabases(input: { sides: DatabaseSides; tables: number }): Promise<Compared> {
  return border(async (b) => {
    const { sides, tables } = input;
    const [source, target] = await Promise.all([reach(b, sides, 'source'), reach(b, sides, 'target')]);
    return compare({
      source,
      target,
      majors: { source: sides.source.major, target: sides.target.major },
      jobs: sides.jobs,
      utf8: sides.utf8,
      onProgress: (counted) =>
        b.show({
          step: 'Compare both sides',
          done: counted.tables,
          total: tables,
          unit: 'tables',
          counts: { rows: counted.rows, bytes: counted.bytes },
        }),
    });
  });
}

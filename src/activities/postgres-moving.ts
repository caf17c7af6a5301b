/** Dumping, restoring and comparing; and undoing that. */
import type { UndoResult } from '../contract.js';
import { inBackupFolder } from '../platform/backup-folder.js';
import { dumpDatabase, removeDump, type DumpFacts } from '../postgres/dump.js';
import { emptyTarget, fillTarget, keepContent, putBack, takeOut, type Filled } from '../postgres/fill.js';
import { compareDatabases as compare, type Compared } from '../postgres/same.js';
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

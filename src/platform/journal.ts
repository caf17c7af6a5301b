/**
 * The journal of effects: one file of JSON lines for each workflow run, beside the receipts. It outlives Temporal's history,
 * so that what a terminated workflow left behind can still be undone (`ferry recover`).
 */
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fileFailure, writeAtomically } from './files.js';
import { ferryHome, pathFor, safeName } from './home.js';
import { redact } from './redact.js';

const JournalEntry = z.object({
  /** Unique within a run, growing. */
  seq: z.number().int(),
  /** ISO 8601. */
  at: z.string(),
  workflowId: z.string(),
  runId: z.string(),
  kind: z.enum(['undo-registered', 'undone', 'undo-failed', 'step-started', 'step-done', 'ended']),
  /** The step; for `ended`, the outcome. */
  title: z.string(),
  /** With undone and undo-failed: the `seq` of the undo that was registered. */
  of: z.number().int().optional(),
  undo: z
    .object({
      activity: z.string(),
      args: z.unknown(),
      taskQueue: z.string().optional(),
      /** It is tried for longer. */
      patient: z.literal(true).optional(),
      says: z.string(),
      byHand: z.array(z.string()),
    })
    .optional(),
});
export type JournalEntry = z.infer<typeof JournalEntry>;

export interface Journal {
  workflowId: string;
  runId: string;
  /** By seq. */
  entries: JournalEntry[];
  /** Lines that can't be read (a write that was torn by a crash). */
  damaged: number;
}

const SUFFIX = '.journal.jsonl';

export function journalPath({ workflowId, runId }: { workflowId: string; runId: string }): string {
  return join(pathFor(workflowId), `${safeName(runId)}${SUFFIX}`);
}

/** Appends and syncs to the disk. Nothing happens when the `seq` stands already. @throws FerryError FileFailed */
export async function appendEntry(entry: JournalEntry): Promise<void> {
  const path = journalPath(entry);
  await failing(path, async () => {
    await mkdir(pathFor(entry.workflowId), { recursive: true, mode: 0o700 });
    const file = await open(path, 'a+', 0o600);
    try {
      const before = await file.readFile('utf8');
      if (parse(before).entries.some(({ seq }) => seq === entry.seq)) return;
      // A line that a crash tore is left alone: ours begins on a line of its own. One write, so that two appenders don't mix.
      const torn = before !== '' && !before.endsWith('\n');
      await file.appendFile(`${torn ? '\n' : ''}${JSON.stringify(withoutSecrets(entry))}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
  });
}

/** One run's entries; none when there is no journal. */
export async function readJournal(run: { workflowId: string; runId: string }): Promise<Journal> {
  const path = journalPath(run);
  return { ...run, ...(await failing(path, async () => parse(await textOf(path)))) };
}

/** Every journal on this worker, or of one workflow ID; the run that wrote last stands last. */
export async function listJournals(only?: { workflowId: string }): Promise<Journal[]> {
  const journals: Journal[] = [];
  const folders = only
    ? [pathFor(only.workflowId)]
    : (await namesIn(ferryHome())).map((name) => join(ferryHome(), name));
  for (const folder of folders) {
    for (const name of await namesIn(folder)) {
      if (!name.endsWith(SUFFIX)) continue;
      const path = join(folder, name);
      const journal = await failing(path, async () => parse(await textOf(path)));
      const first = journal.entries[0];
      // The ID stands in the entries; the file's name is only made of it.
      if (first) journals.push({ workflowId: first.workflowId, runId: first.runId, ...journal });
    }
  }
  const last = ({ entries }: Journal): string => entries.at(-1)?.at ?? '';
  return journals.toSorted((a, b) => (last(a) < last(b) ? -1 : 1));
}

/** Outcomes after which nothing is left to undo. After RollbackFailed and Aborted what was registered still stands. */
const SETTLED = new Set(['Completed', 'RolledBack', 'Planned']);

/** What still has to be undone, in the order to undo it: the last registered first. */
export function pendingUndos(entries: readonly JournalEntry[]): JournalEntry[] {
  let pending: JournalEntry[] = [];
  for (const entry of entries) {
    if (entry.kind === 'undo-registered') pending.push(entry);
    if (entry.kind === 'undone') {
      const done = pending.findLast(({ seq, title }) =>
        entry.of === undefined ? title === entry.title : seq === entry.of,
      );
      pending = pending.filter((other) => other !== done);
    }
    if (entry.kind === 'ended' && SETTLED.has(entry.title)) pending = [];
  }
  return pending.toReversed();
}

/** The break-glass card: a text file beside the journal, removed when there are no lines. Returns its path. */
export async function writeCard({
  workflowId,
  lines,
}: {
  workflowId: string;
  lines: readonly string[];
}): Promise<string> {
  const path = join(pathFor(workflowId), 'break-glass.txt');
  await failing(path, async () => {
    if (lines.length === 0) return rm(path, { force: true });
    await mkdir(pathFor(workflowId), { recursive: true, mode: 0o700 });
    await writeAtomically({ path, content: redact(`${lines.join('\n')}\n`), mode: 0o600 });
  });
  return path;
}

function parse(text: string): Pick<Journal, 'entries' | 'damaged'> {
  const bySeq = new Map<number, JournalEntry>();
  let damaged = 0;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const entry = entryOf(line);
    if (!entry) damaged += 1;
    // Two attempts may have appended the same one.
    else if (!bySeq.has(entry.seq)) bySeq.set(entry.seq, entry);
  }
  return { entries: [...bySeq.values()].toSorted((a, b) => a.seq - b.seq), damaged };
}

function entryOf(line: string): JournalEntry | undefined {
  try {
    return JournalEntry.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

function withoutSecrets(value: unknown): unknown {
  if (typeof value === 'string') return redact(value);
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withoutSecrets(inner)]));
}

async function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: unknown) =>
    isMissing(error) ? '' : Promise.reject(error as Error),
  );
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

async function failing<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw fileFailure(path, error);
  }
}

import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ferryHome, pathFor, safeName } from '../../src/platform/home.js';
import {
  appendEntry,
  journalPath,
  listJournals,
  pendingUndos,
  readJournal,
  writeCard,
  type JournalEntry,
} from '../../src/platform/journal.js';
import { rememberSecret } from '../../src/platform/redact.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ferry-home-'));
  vi.stubEnv('FERRY_HOME', dir);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true, force: true });
});

const run = { workflowId: 'upgrade/redis/sessions', runId: '0190-a' };
const undo = { activity: 'unfence', args: { before: 1 }, says: 'Lift the fence', byHand: ['redis-cli …'] };
function entry(
  seq: number,
  kind: JournalEntry['kind'],
  title: string,
  more: Partial<JournalEntry> = {},
): JournalEntry {
  return {
    seq,
    at: `2026-01-01T00:00:${String(seq).padStart(2, '0')}Z`,
    ...run,
    kind,
    title,
    ...(kind === 'undo-registered' ? { undo } : {}),
    ...more,
  };
}

describe('the home', () => {
  it('is FERRY_HOME, else a folder of the user', () => {
    expect(ferryHome()).toBe(dir);
    vi.stubEnv('FERRY_HOME', '');
    vi.stubEnv('HOME', '/home/ann');
    expect(ferryHome()).toBe('/home/ann/.redis-ferry');
  });

  it('gives every ID a folder of its own, inside it', () => {
    const ids = [
      'upgrade/redis/a',
      'upgrade+redis+a',
      '..',
      '.',
      '',
      '../../etc',
      'a b',
      'a\u0000b',
      'é',
      'A',
      'a',
      '%2E',
      'x'.repeat(300),
      `${'x'.repeat(300)}y`,
    ];
    const names = ids.map(safeName);
    expect(new Set(names).size).toBe(ids.length);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_+%~-][A-Za-z0-9._+%~-]{0,199}$/);
    expect(basename(pathFor('upgrade/redis/sessions'))).toBe('upgrade+redis+sessions');
  });
});

describe('the journal', () => {
  it('keeps what was appended, once', async () => {
    await appendEntry(entry(1, 'step-started', 'Fence'));
    await appendEntry(entry(2, 'undo-registered', 'Fence'));
    await appendEntry(entry(2, 'undo-registered', 'Fence'));
    await appendEntry(entry(1, 'step-started', 'something else'));
    const { entries, damaged } = await readJournal(run);
    expect(entries).toEqual([entry(1, 'step-started', 'Fence'), entry(2, 'undo-registered', 'Fence')]);
    expect(damaged).toBe(0);
    expect((await readFile(journalPath(run), 'utf8')).split('\n')).toHaveLength(3);
    expect((await stat(journalPath(run))).mode & 0o777).toBe(0o600);
    expect((await stat(pathFor(run.workflowId))).mode & 0o777).toBe(0o700);
  });

  it('bears a line that a crash tore, wherever it was torn', async () => {
    await appendEntry(entry(1, 'undo-registered', 'A'));
    const whole = (await stat(journalPath(run))).size;
    await appendEntry(entry(2, 'undo-registered', 'B'));
    const full = await readFile(journalPath(run));
    for (let cut = whole + 1; cut < full.length; cut += 7) {
      await writeFile(journalPath(run), full);
      await truncate(journalPath(run), cut);
      const torn = await readJournal(run);
      expect(torn.entries.map(({ seq }) => seq).filter((seq) => seq !== 2)).toEqual([1]);
      await appendEntry(entry(2, 'undo-registered', 'B'));
      await appendEntry(entry(3, 'step-done', 'C'));
      expect((await readJournal(run)).entries.map(({ seq }) => seq)).toEqual([1, 2, 3]);
    }
  });

  it('is empty where there is none, and counts what it can not read', async () => {
    expect(await readJournal(run)).toEqual({ ...run, entries: [], damaged: 0 });
    await appendEntry(entry(1, 'step-started', 'A'));
    await appendFile(journalPath(run), 'nonsense\n{"seq":"x"}\n');
    expect((await readJournal(run)).damaged).toBe(2);
  });

  it('bears two who append at once', async () => {
    await Promise.all(
      [1, 2, 3, 4, 5].flatMap((seq) => [
        appendEntry(entry(seq, 'step-done', 'x')),
        appendEntry(entry(seq, 'step-done', 'x')),
      ]),
    );
    const { entries, damaged } = await readJournal(run);
    expect(entries.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
    expect(damaged).toBe(0);
  });

  it('holds no secret', async () => {
    rememberSecret('pl4nted-J0urnal');
    await appendEntry(
      entry(1, 'undo-registered', 'A', {
        undo: { ...undo, args: { deep: ['x pl4nted-J0urnal'] }, byHand: ['redis-cli -a pl4nted-J0urnal'] },
      }),
    );
    expect(await readFile(journalPath(run), 'utf8')).not.toContain('pl4nted');
    expect(pendingUndos((await readJournal(run)).entries)[0]?.undo?.args).toEqual({ deep: ['x ***'] });
  });

  it('lists the runs, the last one last', async () => {
    await appendEntry(entry(9, 'ended', 'Completed', { runId: 'first', at: '2026-01-02T00:00:00Z' }));
    await appendEntry(entry(1, 'step-started', 'A', { runId: 'second', at: '2026-01-03T00:00:00Z' }));
    await appendEntry(
      entry(1, 'step-started', 'A', {
        workflowId: 'upgrade/redis/other',
        runId: 'third',
        at: '2026-01-01T00:00:00Z',
      }),
    );
    expect((await listJournals()).map(({ runId }) => runId)).toEqual(['third', 'first', 'second']);
    expect((await listJournals({ workflowId: run.workflowId })).map(({ runId }) => runId)).toEqual([
      'first',
      'second',
    ]);
    vi.stubEnv('FERRY_HOME', join(dir, 'nowhere'));
    expect(await listJournals()).toEqual([]);
  });

  it('says which file can not be written', async () => {
    await writeFile(join(dir, 'file'), '');
    vi.stubEnv('FERRY_HOME', join(dir, 'file'));
    await expect(appendEntry(entry(1, 'step-started', 'A'))).rejects.toMatchObject({
      type: 'FileFailed',
      message: expect.stringContaining(join(dir, 'file')),
    });
  });
});

const titles = (entries: JournalEntry[]) => pendingUndos(entries).map(({ title }) => title);

describe('pending undos', () => {
  const registered = [
    entry(1, 'undo-registered', 'A'),
    entry(2, 'undo-registered', 'B'),
    entry(3, 'undo-registered', 'C'),
  ];

  it.each<[string, JournalEntry[], string[]]>([
    ['the last first', [], ['C', 'B', 'A']],
    ['without what was undone, by seq', [entry(4, 'undone', 'C', { of: 3 })], ['B', 'A']],
    ['without what was undone, by title', [entry(4, 'undone', 'B')], ['C', 'A']],
    ['a failed undo is still to be done', [entry(4, 'undo-failed', 'C', { of: 3 })], ['C', 'B', 'A']],
    ['none after Completed', [entry(4, 'ended', 'Completed')], []],
    ['none after RolledBack', [entry(4, 'ended', 'RolledBack')], []],
    ['all after Aborted', [entry(4, 'ended', 'Aborted')], ['C', 'B', 'A']],
    [
      'the rest after RollbackFailed',
      [entry(4, 'undone', 'C', { of: 3 }), entry(5, 'ended', 'RollbackFailed')],
      ['B', 'A'],
    ],
    ['of the same title twice', [entry(4, 'undo-registered', 'C'), entry(5, 'undone', 'C')], ['C', 'B', 'A']],
  ])('%s', (_title, more, expected) => {
    expect(titles([...registered, ...more])).toEqual(expected);
  });
});

describe('the break-glass card', () => {
  it('is a file for one reader, and goes when nothing is pending', async () => {
    rememberSecret('pl4nted-C4rd');
    const path = await writeCard({
      workflowId: run.workflowId,
      lines: ['# Lift the fence', 'redis-cli … pl4nted-C4rd'],
    });
    expect(await readFile(path, 'utf8')).toBe('# Lift the fence\nredis-cli … ***\n');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await writeCard({ workflowId: run.workflowId, lines: [] })).toBe(path);
    await expect(readFile(path)).rejects.toThrow('ENOENT');
    await writeCard({ workflowId: run.workflowId, lines: [] });
  });
});

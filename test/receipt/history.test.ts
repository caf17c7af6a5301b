/* What is remembered of upgrades that have ended: once each, however often and by however many it is written. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { entryOf, paragraphOf } from '../../src/receipt/history.js';
import { readHistory, remember } from '../../src/receipt/write.js';
import { CLEAN } from './fixtures.js';

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'ferry-history-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

const OTHER = {
  ...CLEAN,
  name: 'cache',
  workflowId: 'upgrade/kubernetes/cache',
  strategy: 'helmInPlace',
  runId: 'another-run',
  outcome: 'RolledBack' as const,
  clean: false,
  blemishes: ['It ended as RolledBack:\nthe image can not be had'],
  endedAt: '2026-03-02T10:00:00.000Z',
  approvals: [],
  facts: { kubernetes: { from: '7.0.15', to: '8.0.2' }, secondsAway: 6.5 },
};

test('the fields that people write down by hand', () => {
  const { from, to, ...entry } = entryOf(OTHER);
  expect([from, to]).toEqual(['7.0.15', '8.0.2']);
  expect(entry).toMatchObject({
    method: 'helmInPlace',
    downtime: '6.5 s (the server was away)',
    rollback: true,
  });
  expect(paragraphOf(entryOf(OTHER)).split('\n')).toEqual([
    '## 2026-03-02 - cache - 7.0.15 → 8.0.2',
    '<!-- another-run -->',
    '',
    '- Upgrade method: helmInPlace',
    expect.stringMatching(/^- Outcome: RolledBack, after /),
    '- Downtime: 6.5 s (the server was away)',
    '- Issues:',
    '  - It ended as RolledBack: the image can not be had',
    '- Rollback required: Yes',
    expect.stringMatching(/^- Validated by: \d+ of \d+ checks passed$/),
    '- Workflow: `upgrade/kubernetes/cache`',
    '',
  ]);
  const clean = entryOf(CLEAN);
  expect(clean.validatedBy).toMatch(/^ada|grace|.*; \d+ of/);
  expect(paragraphOf(clean)).toContain('- Issues: None\n- Rollback required: No');
});

test('how long writes were refused counts as downtime', () => {
  const { downtime } = entryOf({ ...OTHER, facts: { switch: { secondsClosedToWrites: 90 } } });
  expect(downtime).toBe('1 min 30 s (writes were refused)');
});

test('a paragraph is there once, behind what people wrote', async () => {
  const path = await folder();
  const markdown = join(path, 'ops', 'UPGRADE_HISTORY.md');
  await remember({ receipt: CLEAN, markdown });
  await writeFile(markdown, `${await readFile(markdown, 'utf8')}\nBy hand: moved the cache.\n`);
  await remember({ receipt: OTHER, markdown });
  await remember({ receipt: CLEAN, markdown });
  await remember({ receipt: OTHER, markdown });
  const text = await readFile(markdown, 'utf8');
  expect(text.match(/^#.*/gm)).toEqual([
    '# Upgrade history',
    expect.stringContaining('sessions'),
    expect.stringContaining('cache'),
  ]);
  expect(text).toContain('By hand: moved the cache.');
});

test('a folder of receipts, whatever else is there; the newest first', async () => {
  const path = await folder();
  await remember({ receipt: CLEAN, folder: join(path, 'one') });
  await remember({ receipt: OTHER, folder: join(path, 'two') });
  await remember({ receipt: OTHER, folder: path });
  await writeFile(join(path, 'half.json'), '{"outcome": "Compl');
  await writeFile(join(path, 'other.json'), '[1]');
  expect((await readHistory(path)).map(({ name }) => name)).toEqual(['cache', 'sessions']);
});

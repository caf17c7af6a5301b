import type { Check, Receipt, StepState } from '../../src/contract.js';

const START = Date.parse('2026-03-01T02:00:11Z');
export const at = (seconds: number): string => new Date(START + seconds * 1_000).toISOString();

const step = (
  title: string,
  kind: StepState['kind'],
  from: number,
  to: number,
  note?: string,
): StepState => ({
  title,
  kind,
  status: 'done',
  startedAt: at(from),
  endedAt: at(to),
  ...(note === undefined ? {} : { note }),
});

const check = (name: string, expected: string, actual: string): Check => ({
  name,
  status: 'pass',
  expected,
  actual,
  waivable: false,
});

/** A clean upgrade, with facts of many shapes. */
export const CLEAN: Receipt = {
  strategy: 'redisCopy',
  name: 'sessions',
  workflowId: 'upgrade/redis/sessions',
  runId: '0195f0c2-6f3a-7d2e-9c11-3f5a8a2c77aa',
  outcome: 'Completed',
  clean: true,
  blemishes: [],
  reason:
    'All 2,104,332 keys are on the target, compared in both directions, and the applications write there.',
  startedAt: at(0),
  endedAt: at(764),
  seconds: 764,
  approvals: [
    { gate: 'start', by: 'Ana Lima', at: at(64), note: 'looked at the plan with Ben' },
    { gate: 'cutover', by: 'Ana Lima', at: at(598) },
    { gate: 'cutover', by: 'Ben Okafor', at: at(612), note: 'dashboards are quiet' },
  ],
  rejections: [],
  steps: [
    step('Gather information', 'read', 0, 0.8, 'Redis 6.0.16 → 8.0.2, 2,104,332 keys, 3.1 GB'),
    step('Pre-flight', 'checks', 0.8, 2.4, '17 checks, 1 warning'),
    step('Approval: start', 'gate', 2.4, 64, 'approved by Ana Lima'),
    step('Copy the keys', 'write', 64, 402, '2,104,332 keys at 6,226 a second'),
    step('Copy what changed meanwhile', 'write', 402, 431, '3 passes: 48,211, then 1,920, then 77 keys'),
    step('Compare both sides', 'read', 431, 560, 'no difference'),
    step('Approval: cutover', 'gate', 560, 612, 'approved by Ana Lima and Ben Okafor'),
    step('Switch the applications over', 'write', 612, 613.2, 'writes paused for 412 ms'),
    step("Run the application's own tests", 'checks', 613.2, 621),
    step('Watch for clients that still write to the source', 'read', 621, 681, 'none'),
    step('Approval: cleanup', 'gate', 681, 739, 'approved by Ana Lima'),
    step('Point of no return', 'point of no return', 739, 739),
    step('Delete the copied keys from the source', 'write', 739, 764, '2,104,332 keys'),
  ],
  checks: [
    check('Source answers', 'PONG', 'PONG in 0.3 ms'),
    check('Target answers', 'PONG', 'PONG in 0.4 ms'),
    check('Target is empty', '0 keys in databases 0, 3', '0 keys'),
    check('Target has room', 'at least 3.9 GB', '8 GB'),
    check('Target evicts nothing', 'noeviction', 'noeviction'),
    {
      ...check('Somebody is notified', 'a webhook in `notify`', 'none'),
      status: 'warn',
      next: 'Give `notify`, so that a held upgrade is noticed.',
    },
    check('Same modules', 'none', 'none'),
    check('Login page', 'HTTP 200', 'HTTP 200 in 84 ms'),
  ],
  followUps: [
    { item: 'Record the new address in Terraform', doneBy: 'Ben Okafor', at: at(700) },
    { item: 'Tell the data team' },
  ],
  refused: [
    {
      what: 'approve cutover',
      by: 'Ana Lima',
      reason: 'Ana Lima has approved this gate already; a second person has to.',
      at: at(603),
    },
  ],
  warnings: [],
  left: [],
  planHash: '4f1c9be2a7d03',
  facts: {
    versions: { source: 'Redis 6.0.16', target: 'Redis 8.0.2' },
    method: 'DUMP/RESTORE, 3 delta passes, final pass under CLIENT PAUSE',
    tls: false,
    lostWrites: null,
    switch: { writePauseMs: 412, attempts: 1 },
    comparison: {
      keysCompared: 2_104_332,
      databases: {
        '0': { keys: 2_000_120, differences: 0, seconds: 121.2 },
        '3': { keys: 104_212, differences: 0, seconds: 7.4 },
      },
      types: { string: 1_904_112, hash: 150_020, zset: 50_000, stream: 200 },
      samples: [],
    },
    passes: [
      { pass: 1, keys: 48_211, tookMs: 22_400 },
      { pass: 2, keys: 1_920, tookMs: 5_100 },
      { pass: 3, keys: 77, tookMs: 190 },
    ],
    settings: {
      changed: ['maxmemory-policy: volatile-lru → noeviction', 'timeout: 0 → 300'],
      readBackAt: at(640),
    },
  },
  files: { json: '/var/lib/ferry/receipts/sessions.json', html: '/var/lib/ferry/receipts/sessions.html' },
};

/** A completed upgrade that isn't clean. */
export const BLEMISHED: Receipt = {
  ...CLEAN,
  clean: false,
  blemishes: [
    'The check "Login page" failed and was waived by Ana Lima.',
    'The source could not be paused: writes of the last 40 ms may be lost, as the input accepts.',
  ],
  checks: CLEAN.checks.map((each) =>
    each.name === 'Login page'
      ? {
          ...each,
          status: 'fail',
          actual: 'HTTP 502',
          next: 'Look at the application.',
          waivedBy: 'Ana Lima',
          waivable: true,
        }
      : each,
  ),
  warnings: ['The webhook answered 503 to two notifications.'],
};

/** Rolled back after the copy, with one undo that did not work. */
export const ROLLBACK_FAILED: Receipt = {
  ...CLEAN,
  outcome: 'RollbackFailed',
  clean: false,
  reason: 'Repointing back failed: the webhook answered 500 five times. Ana Lima ended it there.',
  blemishes: ['Rolling back stopped on the way.'],
  rejections: [{ gate: 'cleanup', by: 'Ben Okafor', at: at(720), note: 'errors in the log' }],
  approvals: CLEAN.approvals.slice(0, 3),
  steps: CLEAN.steps.slice(0, 8).map((each, index) => ({
    ...each,
    status: index === 7 ? 'undo failed' : index === 3 || index === 4 ? 'undone' : 'done',
  })),
  left: [
    'The applications still write to the target redis-new:6379.',
    '2,104,332 copied keys on the target.',
  ],
  endedAt: at(764),
};

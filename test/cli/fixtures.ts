import type { State } from '../../src/contract.js';

export const NOW = Date.parse('2026-03-01T02:05:00Z');
export const before = (seconds: number): string => new Date(NOW - seconds * 1_000).toISOString();

/** In the middle of a copy. */
export const COPYING: State = {
  strategy: 'redisCopy',
  name: 'sessions',
  workflowId: 'upgrade/redis/sessions',
  phase: 'Running',
  reason: 'Copying the keys',
  since: before(192),
  step: 'Copy the keys',
  steps: [
    {
      title: 'Gather information',
      kind: 'read',
      status: 'done',
      startedAt: before(260),
      endedAt: before(259.2),
      note: 'Redis 6.0.16 → 8.0.2',
    },
    { title: 'Pre-flight', kind: 'checks', status: 'done', startedAt: before(259), endedAt: before(258) },
    {
      title: 'Approval: start',
      kind: 'gate',
      status: 'done',
      startedAt: before(258),
      endedAt: before(192),
      note: 'approved by Ana Lima',
    },
    { title: 'Copy the keys', kind: 'write', status: 'running', startedAt: before(192) },
    { title: 'Compare both sides', kind: 'read', status: 'planned' },
    { title: 'Approval: cutover', kind: 'gate', status: 'planned' },
    { title: 'Switch the applications over', kind: 'write', status: 'planned' },
  ],
  gates: [
    {
      name: 'start',
      question: 'Copy 2,104,332 keys?',
      status: 'approved',
      needs: 1,
      approvals: [{ by: 'Ana Lima', at: before(192) }],
      auto: false,
    },
    {
      name: 'cutover',
      question: 'Switch the applications to redis-new:6379?',
      status: 'planned',
      needs: 2,
      approvals: [],
      auto: false,
    },
  ],
  checks: [
    { name: 'Source answers', status: 'pass', expected: 'PONG', actual: 'PONG', waivable: false },
    { name: 'Somebody is notified', status: 'warn', expected: 'a webhook', actual: 'none', waivable: false },
  ],
  decision: null,
  progress: {
    step: 'Copy the keys',
    done: 1_000_000,
    total: 2_000_000,
    unit: 'keys',
    rate: 6_420,
    etaSeconds: 156,
    counts: { copied: 999_990, skipped: 10 },
    at: before(2),
  },
  wayBack: { possible: true, keepsWrites: true, loses: '', takes: 'about 1 s' },
  impact: [],
  breakGlass: [],
  followUps: [],
  refused: [],
  settings: { rate: 'yield' },
  planHash: '4f1c9be2a7d03',
  warnings: [],
};

/** At the second of two approvals, with users affected and a way back that loses writes. */
export const AT_GATE: State = {
  ...COPYING,
  phase: 'AwaitingApproval',
  reason: 'Waits for approval of "cutover"',
  since: before(40),
  step: 'Approval: cutover',
  steps: COPYING.steps.map((step, at) =>
    at === 3 || at === 4
      ? { ...step, status: 'done', startedAt: before(192), endedAt: before(50) }
      : at === 5
        ? { ...step, status: 'waiting', startedAt: before(40) }
        : step,
  ),
  gates: COPYING.gates.map((gate) =>
    gate.name === 'cutover'
      ? { ...gate, status: 'open', approvals: [{ by: 'Ana Lima', at: before(30) }], deadline: before(-600) }
      : gate,
  ),
  progress: null,
  impact: [{ what: 'writes are stopped', since: before(45), step: 'Stop writes' }],
  wayBack: { possible: true, keepsWrites: false, loses: 'about 1,200 writes', takes: '2 s' },
  breakGlass: [
    'redis-cli -u "$OLD_REDIS_URL" CLIENT UNPAUSE',
    'kubectl scale deployment web --replicas=3 --namespace a-rather-long-namespace-name-for-a-test',
  ],
  refused: [{ what: 'approve cutover', by: 'Ana Lima', reason: 'has approved already', at: before(20) }],
  warnings: ['The webhook answered 503.'],
};

export const DECIDING: State = {
  ...COPYING,
  phase: 'NeedsDecision',
  reason: 'A check failed',
  decision: {
    about: 'Pre-flight',
    problem: 'Login page: HTTP 502, expected HTTP 200.',
    choices: {
      retry: 'check again',
      rollback: 'undo everything; takes about 1 s',
      stop: 'stop here and leave everything as it is',
    },
    waivable: ["Ben's login page"],
    since: before(12),
    deadline: before(-300),
  },
  progress: null,
};

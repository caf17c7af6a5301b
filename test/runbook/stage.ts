/* Upgrades on a stage: the real workflow on a real Temporal server, with activities that only say that they were called. */
import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { Context } from '@temporalio/activity';
import { Client, Connection } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import {
  DefaultLogger,
  NativeConnection,
  Runtime,
  Worker,
  makeTelemetryFilterString,
} from '@temporalio/worker';
import { inject } from 'vitest';
import * as real from '../../src/activities/index.js';
import type { Check } from '../../src/contract.js';
import { workflowIdOf, type Strategy } from '../../src/contract.js';
import type { RedisCopyInput } from '../../src/inputs/redis-copy.js';
import type { RedisSwitchoverInput } from '../../src/inputs/redis-switchover.js';
import { upgradeOf, type Upgrade } from '../support/world.js';

type Name = keyof typeof real;
/** Stands in for an activity; what it returns is the activity's result, what it throws its failure. */
export type Part = (input: never) => unknown;
export type Parts = Partial<Record<Name, Part>>;

export interface Play extends Upgrade {
  /** What was called, in order: the activity, and which of several (`runAction start-writes`). */
  calls: string[];
  /** The journal, in order: `undo-registered Copy every key`. */
  journal: string[];
  /** The break-glass card as it was written last. */
  card: string[];
  /** Phases that were notified. */
  told: string[];
  receipts: number;
}

export interface Stage {
  client: Client;
  /** `pair`: what is different about the two servers. */
  play(input?: Partial<RedisCopyInput>, parts?: Parts, pair?: Record<string, unknown>): Promise<Play>;
  /** `redisSwitchover`, with its first gate open. */
  switchover(input?: Partial<RedisSwitchoverInput>, parts?: Parts): Promise<Play>;
  /**
   * `fleetRollout`; the fleet's own name begins the names of its targets, which play as `redisCopy`. `parts`: of the target whose name
   * ends so, and of the fleet itself as ''.
   */
  fleet(input: (name: string) => Record<string, unknown>, parts?: (target: string) => Parts): Promise<Play>;
  /** `rehearsal` of a `redisCopy`, which plays with its own parts, and whose hand is the real one. */
  rehearse(name: string, parts?: Parts): Promise<Play>;
  /** To be changed while it plays. */
  partsOf(play: Play): Parts;
  /** Inside of an activity: when it is cancelled. */
  cancelled(): Promise<void>;
  /** Inside of an activity: what a worker's own cancellation looks like. */
  cancellation(): Promise<unknown>;
  close(): Promise<void>;
}

const counts = {
  keysCompared: 10,
  missing: 0,
  extra: 0,
  type: 0,
  value: 0,
  ttl: 0,
  own: 0,
  moving: 0,
  repaired: 0,
};

function side(port: number) {
  return {
    shown: `127.0.0.1:${port}`,
    resolved: [`127.0.0.1:${port}`],
    product: 'redis',
    version: '7.0.0',
    runId: String(port),
    role: 'primary',
    databases: { 0: { keys: 10, expires: 0 } },
    usedMemory: 1_000_000,
    can: { pauseWrites: true, tracking: true },
  };
}

/** What the watch for stragglers sees when there are none. */
export const quietSource = {
  changed: 0,
  changedSample: [],
  gone: 0,
  refused: 0,
  clients: 0,
  clientSample: [],
  seconds: 0,
  fenceHeld: true,
};

/** What the activities answer where a test says nothing else. */
function usual(ports: [number, number], pair: Record<string, unknown>): Parts {
  return {
    surroundings: () => ({ phaseAttribute: true }),
    describePair: () => ({
      source: side(ports[0]),
      target: side(ports[1]),
      formats: { source: { accepts: [10], highest: 10 }, target: { accepts: [10], highest: 10 } },
      ways: {
        forward: { chosen: 'dump', because: '' },
        back: { chosen: 'dump', because: '' },
        noWayBackFor: [],
        functionsStay: '',
      },
      databases: [[0, 0]],
      hold: { pause: true, fence: 'min-replicas', why: '' },
      others: [],
      fence: { kind: 'min-replicas', settings: {} },
      cli: { source: 'redis-cli', target: 'redis-cli' },
      repointSays: ['write the file'],
      byHand: { unfence: ['redis-cli unfence'], repointBack: ['cp before after'] },
      ...pair,
    }),
    preflight: () => [passed('Versions')],
    copyKeys: () => ({ done: true, checkpoint: {}, counts: { copied: 10 }, resumedFrom: 0, functions: [] }),
    compareKeys: () => ({
      done: true,
      checkpoint: {},
      ...counts,
      samples: [],
      digest: 'd',
      resumedFrom: 0,
      unbroken: true,
      functions: [],
    }),
    followKeys: async () => {
      await untilCancelled();
      return { passes: 1 };
    },
    switchForward: () => ({
      writePauseMs: 5,
      keysUnderPause: 0,
      pausesGivenUp: 0,
      droppedClients: 0,
      finishedLater: false,
      targetRunId: 't',
      comparedAgain: null,
    }),
    switchBack: () => ({ note: 'went back' }),
    watchStragglers: () => ({
      done: true,
      checkpoint: {
        changed: 0,
        gone: 0,
        changedSample: [],
        refused: 0,
        clients: 0,
        clientSample: [],
        seconds: 0,
        fenceHeld: true,
      },
    }),
    proveSourceUnchanged: () => ({ unchanged: true }),
    clearSource: () => ({ done: true, checkpoint: {}, deleted: 10 }),
    saveReceipt: () => ({ json: 'receipt.json', html: 'receipt.html' }),
    whoHolds: () => null,
  };
}

/** What `describeCouple` answers. */
export function coupleOf(ports: [number, number], targetVersion = '8.0.0') {
  const [source, target] = [side(ports[0]), { ...side(ports[1]), role: 'replica', version: targetVersion }];
  return {
    source,
    target,
    formats: { source: { accepts: [10], highest: 10 }, target: { accepts: [10], highest: 10 } },
    couple: { source: { env: 'A' }, target: { env: 'B' }, reach: {}, before: {} },
    backlogBytes: 1,
    targetEmpty: true,
    repointSays: ['write the file'],
    byHand: ['redis-cli UNPAUSE'],
    closeByHand: [],
    lostOnReturn: '',
    survey: { clients: null },
  };
}

/** The same for `redisSwitchover`. */
function usualSwitchover(ports: [number, number]): Parts {
  const curves = { latencyP99Ms: [], opsPerSecond: [], lagBytes: [] };
  const look = { lag: 0, ping: 1, ops: 1, primary: { syncs: { full: 1 } } };
  return {
    ...usual(ports, {}),
    describeCouple: () => coupleOf(ports),
    preflightCouple: () => [passed('Versions')],
    startReplication: () => ({ seconds: 1, guard: 'run-time user' }),
    handOverForward: () => ({
      done: true,
      outcome: {
        pausedMs: 5,
        drainMs: 1,
        pausesGivenUp: 0,
        droppedClients: 0,
        finishedLater: false,
        slipped: 0,
        partial: true,
        durable: true,
        guard: 'run-time user',
      },
    }),
    handOverBack: () => ({ note: 'the applications had not moved' }),
    preflightBackup: () => [],
    measureServer: () => ({ summary: { latencyP99Ms: 1, opsPerSecond: 1 }, curves, doubts: [] }),
    validateCouple: () => ({ checks: [passed('Roles')], after: {} }),
    runProbes: () => [],
    soakReplication: () => ({
      done: true,
      checkpoint: {
        seconds: 1,
        first: look,
        last: look,
        most: look,
        safety: { broken: null, threat: null, linkMayBeDownSeconds: 60 },
        found: null,
        now: {},
      },
      curves,
    }),
  };
}

/** A cancellation is heard with a heartbeat. */
export async function untilCancelled(): Promise<void> {
  const context = Context.current();
  const beating = setInterval(() => context.heartbeat(), 200);
  await context.cancelled.catch(() => undefined);
  clearInterval(beating);
}

export function passed(name: string): Check {
  return { name, status: 'pass', expected: 'it passes', actual: 'it passes', waivable: false };
}

export function failed(name: string, waivable: boolean): Check {
  return { name, status: 'fail', expected: 'it passes', actual: 'it does not', waivable };
}

/** A failure that no retry helps. */
export function broken(message = 'it is broken', type = 'CommandFailed'): never {
  const failure = ApplicationFailure.create({ type, message, nonRetryable: true });
  failure.stack = '';
  throw failure;
}

/** The SDK says errors only. Once in a process, before any worker. */
export function quiet(): void {
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR' }) } },
  });
}

export async function stage(): Promise<Stage> {
  quiet();
  const address = inject('temporalAddress');
  const connection = await NativeConnection.connect({ address });
  const client = new Client({ connection: await Connection.connect({ address }) });
  const taskQueue = `stage-${randomBytes(6).toString('hex')}`;
  const plays = new Map<string, { parts: Parts; play: Play }>();
  let port = 0;

  /** Upgrades that others begin. */
  const casts: ((workflowId: string) => Parts | null)[] = [];
  function cast(workflowId: string): { parts: Parts; play: Play } | undefined {
    for (const each of casts) {
      const parts = each(workflowId);
      if (!parts) continue;
      port += 2;
      const ports: [number, number] = [process.pid * 1_000 + port, process.pid * 1_000 + port + 1];
      const play = { calls: [], journal: [], card: [], told: [], receipts: 0 } as unknown as Play;
      Object.assign(play, upgradeOf(client.workflow.getHandle(workflowId), workflowId));
      const entry = { parts: { ...usual(ports, {}), ...parts }, play };
      plays.set(workflowId, entry);
      return entry;
    }
    return undefined;
  }

  const call = (name: Name) => async (input: never) => {
    const id = Context.current().info.workflowExecution?.workflowId ?? '';
    const found = plays.get(id) ?? cast(id);
    if (!found) throw ApplicationFailure.nonRetryable('not on stage');
    const { parts, play } = found;
    const told = input as
      { event?: string; kind?: string; title?: string; phase?: string; card?: string[] } | undefined;
    if (name === 'writeJournal') {
      play.journal.push(`${told?.kind} ${told?.title}`);
      play.card = told?.card ?? [];
    } else if (name === 'notify') play.told.push(told?.phase ?? '');
    else if (name === 'saveReceipt') play.receipts += 1;
    else if (name !== 'surroundings') play.calls.push(told?.event ? `${name} ${told.event}` : name);
    return (await parts[name]?.(input)) ?? {};
  };
  const worker = await Worker.create({
    connection,
    taskQueue,
    activities: Object.fromEntries(Object.keys(real).map((name) => [name, call(name as Name)])),
    workflowBundle: {
      codePath: resolve(join(process.env['FERRY_TEST_DIST'] ?? 'dist', 'workflow-bundle.js')),
    },
    maxHeartbeatThrottleInterval: '200ms',
    defaultHeartbeatThrottleInterval: '200ms',
  });
  const running = worker.run();
  // Its failure shows where it is awaited; until then the tests say what is missing.
  running.catch(() => undefined);
  const handles: Upgrade['handle'][] = [];

  async function begin(
    strategy: Strategy,
    input: { name?: string },
    partsOn: (ports: [number, number]) => Parts,
  ): Promise<Play> {
    port += 2;
    const name = input.name ?? `s${randomBytes(5).toString('hex')}`;
    const whole =
      strategy === 'fleetRollout' || strategy === 'rehearsal'
        ? input
        : {
            name,
            source: { env: 'A' },
            target: { env: 'B' },
            repoint: { kind: 'file', path: '/somewhere' },
            ...input,
          };
    const id = workflowIdOf(strategy, name);
    const quiet = { calls: [], journal: [], card: [], told: [], receipts: 0 };
    // Each play on servers of its own, or their locks would make them wait for each other.
    const ports: [number, number] = [process.pid * 1_000 + port, process.pid * 1_000 + port + 1];
    const entry = { parts: partsOn(ports), play: quiet as unknown as Play };
    plays.set(id, entry);
    const handle = await client.workflow.start(strategy, { taskQueue, workflowId: id, args: [whole] });
    handles.push(handle);
    Object.assign(entry.play, upgradeOf(handle, id));
    return entry.play;
  }

  return {
    client,
    play: (input = {}, parts = {}, pair = {}) =>
      begin(
        'redisCopy',
        {
          writes: 'running',
          watch: '1s',
          gates: { start: 'auto', cutover: 'auto', cleanup: 'auto' },
          ...input,
        } as RedisCopyInput,
        (ports) => ({ ...usual(ports, pair), ...parts }),
      ),
    switchover: (input = {}, parts = {}) =>
      begin(
        'redisSwitchover',
        { gates: { commit: 'auto' }, backup: false, canary: false, ...input },
        (ports) => ({
          ...usualSwitchover(ports),
          ...parts,
        }),
      ),
    fleet(input, parts = () => ({})) {
      const name = `f${randomBytes(5).toString('hex')}`;
      casts.push((workflowId) =>
        workflowId.startsWith(`upgrade/redis/${name}-`)
          ? parts(workflowId.slice(`upgrade/redis/${name}-`.length))
          : null,
      );
      return begin('fleetRollout', { name, ...input(name) }, () => ({
        surroundings: () => ({ phaseAttribute: true }),
        lookAtTargets: () => ({}),
        saveReceipt: () => ({ json: 'receipt.json', html: 'receipt.html' }),
        ...parts(''),
      }));
    },
    rehearse(name, parts = {}) {
      casts.push((workflowId) => (workflowId === `upgrade/redis/${name}-staging` ? parts : null));
      const input = {
        name: `${name}-staging`,
        source: { env: 'A' },
        target: { env: 'B' },
        writes: 'running',
        repoint: { kind: 'file', path: '/somewhere' },
      };
      const whole = { name, strategy: 'redisCopy', input, gates: { start: 'auto' } };
      return begin('rehearsal', whole, () => ({
        surroundings: () => ({ phaseAttribute: true }),
        lookAtStaging: () => ({ last: 'none', byPeople: false }),
        steerRehearsal: real.steerRehearsal as never,
        saveReceipt: () => ({ json: 'receipt.json', html: 'receipt.html' }),
      }));
    },
    partsOf(play) {
      const found = plays.get(play.id);
      if (!found) throw new Error('not on stage');
      return found.parts;
    },
    cancelled: untilCancelled,
    cancellation: () => Context.current().cancelled.catch((error: unknown) => error),
    async close() {
      await Promise.all(handles.map((handle) => handle.terminate('the test is over').catch(() => undefined)));
      worker.shutdown();
      await running;
      await Promise.all([connection.close(), client.connection.close()]);
    },
  };
}

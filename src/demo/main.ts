/**
 * `npm start`: a live Redis is upgraded before your eyes. Temporal with its UI, a worker, two real servers, an application that keeps
 * writing; then `redisSwitchover` from one server to the other, which asks at its gates, and can go back with every write. Whoever
 * goes back is taken over once more, to stay.
 *
 * Everything is kept in FERRY_HOME/demo, and every process has a pid file there: started again after a kill -9, of whatever, the
 * demo goes on from where it was. Once the receipt was shown, the next start is a new move.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { CliError } from '../cli/exit.js';
import { processIo, type Io } from '../cli/io.js';
import { resolveTarget, withSession, type Session } from '../cli/session.js';
import { speaker } from '../cli/speaker.js';
import type { Look } from '../cli/upgrade.js';
import { TASK_QUEUE, workflowIdOf, type Receipt } from '../contract.js';
import type { RedisSwitchoverInput } from '../inputs/redis-switchover.js';
import { receiptText } from '../receipt/text.js';
import { count, duration, isRecord } from '../receipt/words.js';
import { freePort } from '../setup/servers.js';
import { findTools, type Tools } from '../setup/tools.js';
import { checkApp, readStatus, type Checked } from './check-app.js';
import {
  demoFolder,
  recall,
  remember,
  takeLock,
  type Lock,
  type Memory,
  type Run,
  type Side,
} from './folder.js';
import { follow } from './follow.js';
import { listenToKeys, type Keys } from './keys.js';
import { watchForLeaving, type Leaving } from './leaving.js';
import { acknowledged, paths } from './orders.js';
import {
  appFolder,
  appPart,
  CHECK,
  nameOf,
  redisPart,
  runFolder,
  shown,
  temporalPart,
  urlOf,
  USUAL,
  workerPart,
  type Ports,
} from './parts.js';
import { crew, endAll, killAll, type Crew, type Part } from './processes.js';
import { endStrays } from './strays.js';
import { seed } from './seed.js';
import { display, type Display, type Traffic } from './show.js';

const NAME = 'demo';
const WORKFLOW_ID = workflowIdOf('redisSwitchover', NAME);

const HELP = `npm start                 upgrade a live Redis, go back if you like, and be asked before anything is changed
npm start -- --yes        unattended: over, back, and over for good; exit code 0 only when no write is missing, nothing was left
                          by the way back, and the last receipt is clean
npm start -- --fresh      forget an earlier demo and begin anew
npm start -- --port PORT  Temporal's port (its UI: 1000 above; 0: any free one)`;

interface Options {
  yes: boolean;
  fresh: boolean;
  port: number | null;
}

/** Never throws; sets the exit code. */
export async function main(words: readonly string[] = process.argv.slice(2)): Promise<void> {
  const io = processIo();
  const options = optionsOf(words);
  if (typeof options === 'string') {
    const asked = options === HELP;
    (asked ? io.print : io.warn)(options);
    process.exitCode = asked ? 0 : 2;
    return;
  }
  const leaving = watchForLeaving();
  try {
    process.exitCode = await demo(io, options, leaving);
  } catch (error) {
    complain(io, error);
    process.exitCode = 1;
  } finally {
    leaving.end();
  }
  // A download that was left in the middle would keep us.
  setTimeout(() => process.exit(), 1_000).unref();
}

function optionsOf(words: readonly string[]): Options | string {
  try {
    const { values } = parseArgs({
      args: [...words],
      options: {
        yes: { type: 'boolean', short: 'y', default: false },
        fresh: { type: 'boolean', default: false },
        port: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) return HELP;
    const port = values.port === undefined ? null : Number(values.port);
    if (port !== null && !(Number.isInteger(port) && port >= 0 && port <= 64_535))
      return `--port takes a number from 0 to 64535, not "${values.port}".`;
    return { yes: values.yes, fresh: values.fresh, port };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n\n${HELP}`;
  }
}

function complain(io: Io, error: unknown): void {
  io.warn(io.colours.red(error instanceof Error ? error.message : String(error)));
  const next = [`Logs are in ${demoFolder()}. To go on: npm start. To begin anew: npm start -- --fresh.`];
  for (const line of error instanceof CliError ? error.next : next) io.warn(line);
  if (io.env['FERRY_DEBUG'] && error instanceof Error) io.warn(error.stack ?? '');
}

const SHOW_CURSOR = '\u001b[?25h';

/** Somebody wants it to end. */
class Left extends Error {}

async function demo(io: Io, options: Options, leaving: Leaving): Promise<number> {
  const folder = demoFolder();
  const lock = await takeLock(folder, (line) => io.print(line), leaving.signal);
  if (lock === null) return options.yes ? 1 : 0;
  if ('heldBy' in lock) throw runsAlready(lock.heldBy, folder);
  const news: string[] = [];
  const processes = crew({ news: (line) => news.push(line) });
  const stage = { io, options, leaving, folder, news, crew: processes };
  const left = new Promise<never>((_, fail) =>
    leaving.signal.addEventListener('abort', () => fail(new Left()), { once: true }),
  );
  const work = play(stage);
  try {
    // A set-up under way does not hear of it: it is left, and what it starts is ended below.
    return await Promise.race([work, left]);
  } catch (error) {
    if (!(error instanceof Left)) throw error;
    // It lets go of the terminal first, unless it hangs on an answer.
    await Promise.race([work.catch(() => undefined), pause(1_000)]);
    const { run } = recall(folder);
    const goesOn = run?.started === true && !run.ended;
    io.print(
      goesOn ? '\nEnding. The move itself waits where it is: `npm start` goes on with it.' : '\nEnding …',
    );
    return options.yes ? 1 : 0;
  } finally {
    await strike(stage, lock);
  }
}

function runsAlready(pid: number, folder: string): CliError {
  const { temporal } = recall(folder);
  return new CliError(`The demo runs already (process ${pid}).`, {
    next: [
      ...(temporal ? [`Its UI: ${uiOf(temporal)}`] : []),
      'To look at it: npx ferry state demo --watch. To end it: Ctrl-C in its terminal.',
    ],
  });
}

async function strike({ io, folder, leaving, crew: processes }: Stage, lock: Lock): Promise<void> {
  lock.ending();
  // Should the display have had no time to.
  if (io.tty) io.write(SHOW_CURSOR);
  try {
    const hurried = new Promise<void>((done) => leaving.hurry.addEventListener('abort', () => done()));
    await Promise.race([processes.stop(), hurried.then(() => killAll(folder))]);
    // A start that was left in the middle.
    await endStrays(folder);
  } catch (error) {
    io.warn(`Not all could be ended: ${error instanceof Error ? error.message : String(error)}`);
  }
  lock.release();
}

interface Stage {
  io: Io;
  options: Options;
  leaving: Leaving;
  folder: string;
  news: string[];
  crew: Crew;
}

/** From the set-up to the end. Gives the exit code. */
async function play(stage: Stage): Promise<number> {
  const { io, options, folder } = stage;
  io.print(
    io.colours.bold(
      'Redis Ferry demo: a live Redis is upgraded, and no write is lost; not on the way back either.',
    ),
  );
  await endStrays(folder);
  if (options.fresh) await forget(folder);
  const memory = recall(folder);
  // Somebody who was told where our own Temporal is may have exported it here.
  if (memory.temporal && io.env['TEMPORAL_ADDRESS'] === `127.0.0.1:${memory.temporal.port}`)
    delete process.env['TEMPORAL_ADDRESS'];
  const tools = await findTools('demo', (line) => io.print(`  ${io.colours.dim(line)}`));
  const goesOn = memory.run !== null && !memory.run.ended;
  const run = goesOn && memory.run ? withServers(memory.run, tools) : await newRun(folder, tools);
  memory.run = run;
  remember(folder, memory);
  if (goesOn) io.print('  going on with the move that was under way (to begin anew: npm start -- --fresh)');

  const temporal = await setUp(stage, memory, run, tools);
  const { io: towards, queue, prefix, ui } = temporal;
  return withSession(towards, { taskQueue: queue }, async (session) => {
    for (;;) {
      await ensureStarted({
        session,
        folder,
        memory,
        run,
        hurry: options.yes,
        ours: tools.temporal.kind === 'binary',
      });
      const code = await attend(stage, { session, memory, run, ui, prefix });
      if (code !== 'back again') return code;
      stage.news.length = 0;
      run.leg = 'for good';
      run.started = false;
      remember(folder, memory);
    }
  });
}

async function forget(folder: string): Promise<void> {
  await endAll(folder);
  for (const name of readdirSync(folder))
    if (!name.startsWith('lock')) rmSync(join(folder, name), { recursive: true, force: true });
}

async function newRun(folder: string, { redis }: Tools): Promise<Run> {
  for (const name of readdirSync(folder).filter((each) => each.startsWith('run-'))) {
    await endAll(join(folder, name));
    rmSync(join(folder, name), { recursive: true, force: true });
  }
  const [from, to = from] = redis;
  if (!from || !to) throw new Error('No Redis server was found.');
  const side = async ({ product, version, server }: typeof from): Promise<Side> => ({
    product,
    version,
    server,
    port: await freePort(),
    password: randomBytes(15).toString('base64url'),
  });
  const run: Run = {
    id: randomBytes(4).toString('hex'),
    old: await side(from),
    new: await side(to),
    keys: null,
    leg: 'there and back',
    started: false,
    ended: false,
  };
  mkdirSync(runFolder(folder, run), { recursive: true, mode: 0o700 });
  return run;
}

/** The servers of an earlier start, if they are elsewhere now. */
function withServers(run: Run, { redis }: Tools): Run {
  const found = (side: Side): Side => {
    if (existsSync(side.server)) return side;
    const same = redis.find(({ product, version }) => product === side.product && version === side.version);
    if (!same)
      throw new CliError(`${nameOf(side)}, which the demo was running on, is gone (${side.server}).`, {
        next: ['Begin anew: npm start -- --fresh'],
      });
    return { ...side, server: same.server };
  };
  return { ...run, old: found(run.old), new: found(run.new) };
}

interface Reach {
  /** With the environment that leads to this Temporal. */
  io: Io;
  queue: string;
  /** What goes before `ferry` in another terminal. */
  prefix: string;
  /** The page of the upgrade. */
  ui: string | null;
}

/** Brings all processes up, and says what they are. */
async function setUp(stage: Stage, memory: Memory, run: Run, tools: Tools): Promise<Reach> {
  const { io, folder, crew: processes } = stage;
  const { colours } = io;
  const say = (name: string, text: string) => {
    // It was left meanwhile: what it has started is about to be ended.
    if (stage.leaving.signal.aborted) throw new Left();
    io.print(`  ${colours.dim(name.padEnd(13))}${text}`);
  };
  const oldRedis = redisPart({ folder, run, which: 'old' });
  const newRedis = redisPart({ folder, run, which: 'new' });
  const [reach] = await Promise.all([
    reachTemporal(stage, memory, tools),
    processes.join(oldRedis),
    processes.join(newRedis),
  ]);
  say('Temporal', `${reach.address}${reach.uiBase === null ? '' : `, UI ${reach.uiBase}`}`);

  if (run.keys === null) {
    run.keys = await seed(urlOf(run.old));
    remember(folder, memory);
  }
  say(
    'Old server',
    `${nameOf(run.old)} at ${shown(run.old)}, seeded with ${count(run.keys)} keys of every type`,
  );
  say('New server', `${nameOf(run.new)} at ${shown(run.new)}`);

  const app = appPart({ folder, run });
  await processes.join(app);
  say('Application', `writes to the address in ${paths(appFolder(folder, run)).address}`);
  const worker = workerPart({ folder, run, env: reach.workerEnv, keep: reach.kept });
  await processes.join(worker);
  say('Logs', folder);
  io.print('');
  return reach;
}

async function reachTemporal(
  stage: Stage,
  memory: Memory,
  { temporal }: Tools,
): Promise<Reach & { address: string; uiBase: string | null; workerEnv: NodeJS.ProcessEnv; kept: boolean }> {
  const { io, folder, options, crew: processes } = stage;
  if (temporal.kind === 'server') {
    // Others may have workers of the usual queue there, which know nothing of our servers.
    const queue = `redis-ferry-demo-${memory.run?.id}`;
    await withSession(io, {}, async () => undefined).catch((error: unknown) => {
      if (!(error instanceof CliError)) throw error;
      const next = ['Unset TEMPORAL_ADDRESS, and the demo starts a Temporal of its own.'];
      throw new CliError(error.message, { next, cause: error });
    });
    return {
      ...pageAt(io.env['FERRY_UI_URL']?.replace(/\/$/, '') ?? null, resolveTarget(io, {}).namespace),
      io,
      queue,
      prefix: 'npx ',
      address: temporal.address,
      workerEnv: { ...process.env, FERRY_TASK_QUEUE: queue },
      kept: false,
    };
  }
  const before = memory.temporal;
  const wanted =
    options.port === null
      ? null
      : options.port === 0
        ? []
        : [{ port: options.port, uiPort: options.port + 1_000 }];
  let ports: Ports = before ?? USUAL;
  const part: Part = temporalPart({
    folder,
    binary: temporal.path,
    ports: wanted ?? [...(before ? [before] : []), USUAL],
    strict: (wanted?.length ?? 0) > 0,
    took: (taken) => {
      ports = taken;
      memory.temporal = taken;
      remember(folder, memory);
    },
  });
  await processes.join(part);
  const address = `127.0.0.1:${ports.port}`;
  const uiBase = uiOf(ports);
  // Whatever leads elsewhere, a profile's key or certificate too, would not fit our own server.
  const env: NodeJS.ProcessEnv = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'))),
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: 'default',
    TEMPORAL_CONFIG_FILE: join(folder, 'no-profile.toml'),
    FERRY_TASK_QUEUE: TASK_QUEUE,
    FERRY_UI_URL: uiBase,
  };
  const plain = resolveTarget(io, {}).address.replace(/^localhost:/, '127.0.0.1:');
  return {
    ...pageAt(uiBase, 'default'),
    io: { ...io, env },
    queue: TASK_QUEUE,
    prefix: plain === address ? 'npx ' : `TEMPORAL_ADDRESS=${address} npx `,
    address,
    workerEnv: env,
    kept: before?.port === ports.port,
  };
}

function pageAt(uiBase: string | null, namespace: string): { uiBase: string | null; ui: string | null } {
  const path = `/namespaces/${namespace}/workflows/${encodeURIComponent(WORKFLOW_ID)}`;
  return { uiBase, ui: uiBase && uiBase + path };
}

function uiOf({ uiPort }: Ports): string {
  return `http://127.0.0.1:${uiPort}`;
}

/** Starts the upgrade, unless an earlier start of this run did. */
async function ensureStarted(options: {
  session: Session;
  folder: string;
  memory: Memory;
  run: Run;
  /** Nobody watches, and nobody waits for this server's answers. */
  hurry: boolean;
  /** The Temporal is the demo's own. */
  ours: boolean;
}): Promise<void> {
  const { session, folder, memory, run, hurry, ours } = options;
  const handle = session.client.workflow.getHandle(WORKFLOW_ID);
  if (!run.started) {
    const input: RedisSwitchoverInput = {
      name: NAME,
      source: { env: 'OLD_REDIS_URL' },
      target: { env: 'NEW_REDIS_URL' },
      repoint: { kind: 'file', path: paths(appFolder(folder, run)).address },
      probes: [
        {
          name: 'Every acknowledged write is there',
          command: [process.execPath, CHECK, appFolder(folder, run)],
        },
      ],
      // Unattended, the first leg is left as soon as there is something to bring back.
      soak: !hurry ? '30s' : run.leg === 'for good' ? '3s' : '10m',
    };
    const begin = () =>
      session.client.workflow.start('redisSwitchover', {
        workflowId: WORKFLOW_ID,
        taskQueue: session.taskQueue,
        args: [input],
        memo: { demoRun: tokenOf(run) },
        staticSummary: `Demo: ${nameOf(run.old)} to ${nameOf(run.new)}`,
        workflowIdConflictPolicy: 'FAIL',
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      });
    try {
      await begin();
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      // Ours, when an earlier start was killed just before it could note it. One of a demo that was forgotten has no servers any more.
      if (ours && (await handle.describe()).memo?.['demoRun'] !== tokenOf(run)) {
        await handle.terminate('The demo begins anew');
        await begin();
      }
    }
  }
  const description = await handle.describe();
  if (description.memo?.['demoRun'] !== tokenOf(run)) {
    throw new CliError(`Another demo's upgrade runs at ${session.address}: ${WORKFLOW_ID}.`, {
      next: [`End it where it was started, or: temporal workflow terminate --workflow-id ${WORKFLOW_ID}`],
    });
  }
  run.started = true;
  remember(folder, memory);
}

const tokenOf = ({ id, leg }: Run): string => `${id}: ${leg}`;

/** Shows the upgrade, hands on what is said, and shows how it ended. */
async function attend(
  stage: Stage,
  {
    session,
    memory,
    run,
    ui,
    prefix,
  }: { session: Session; memory: Memory; run: Run } & Pick<Reach, 'ui' | 'prefix'>,
): Promise<number | 'back again'> {
  const { io, options, folder, leaving, news, crew: processes } = stage;
  const app = appFolder(folder, run);
  const title = `Redis Ferry demo: ${nameOf(run.old)} → ${nameOf(run.new)} under live traffic`;
  const screen: Display = display({ io, title, ui, prefix });
  const follower = follow({
    session,
    workflowId: WORKFLOW_ID,
    by: options.yes ? 'npm start -- --yes' : await speaker(io, undefined),
    yes: options.yes,
    comesBack: run.leg === 'there and back',
    crew: processes,
    display: screen,
    traffic: trafficOf(app, run),
    processes: () => processes.roll(),
    news,
    leaving: leaving.signal,
  });
  const keys: Keys | null = listenToKeys({
    pressed: (key) => (key === 'q' ? leaving.ask() : follower.pressed(key)),
    lost: () => leaving.leave(),
  });
  try {
    io.print(`${!io.tty && ui !== null ? `UI: ${ui}\n` : ''}Waiting for the worker …\n`);
    const looked = await follower.ended;
    screen.end();
    if (!looked) throw new Left();
    const clean = await conclude(io, looked, { app, run, ui });
    if (clean === 'back again') {
      io.print('\nBack on the old server, with every write. Once more now, to stay.\n');
      return clean;
    }
    memory.run = { ...run, ended: true };
    remember(folder, memory);
    if (options.yes) return clean ? 0 : 1;
    io.print(
      `\nServers, UI and application stay up. ${keys ? 'q or ' : ''}Ctrl-C ends them; \`npm start\` then makes another move.`,
    );
    while (!leaving.signal.aborted) {
      processes.failed.throwIfAborted();
      await pause(500, undefined, { signal: leaving.signal }).catch(() => undefined);
    }
    throw new Left();
  } finally {
    screen.end();
    keys?.end();
  }
}

function trafficOf(app: string, run: Run): () => Traffic {
  let samples: { at: number; total: number }[] = [];
  return () => {
    const now = { at: performance.now(), total: acknowledged(app) };
    samples = [...samples.filter(({ at }) => now.at - at < 3_000), now];
    const first = samples[0] ?? now;
    const { serving } = readStatus(app);
    const side = serving === shown(run.new) ? run.new : run.old;
    return {
      acknowledged: now.total,
      rate: Math.round(((now.total - first.total) * 1_000) / Math.max(1, now.at - first.at)),
      on: `the ${side === run.new ? 'new' : 'old'} server (${nameOf(side)})`,
    };
  };
}

/** Prints the receipt and what the application has to say. True when all is as it should be, and it stayed. */
async function conclude(
  io: Io,
  looked: Look,
  { app, run, ui }: { app: string; run: Run; ui: string | null },
): Promise<boolean | 'back again'> {
  const { colours } = io;
  const receipt = looked.end?.receipt ?? looked.state?.receipt ?? null;
  const checked = await checkPatiently(app);
  io.print('');
  if (receipt) io.print(receiptText(receipt).trimEnd());
  else io.print(colours.red(`It ended without a receipt. ${looked.end?.failure?.message ?? ''}`));
  io.print('');
  const line = (ok: boolean, text: string) =>
    io.print(`  ${ok ? colours.green('✓') : colours.red('✗')} ${text}`);
  if (receipt?.outcome === 'RolledBack') io.print(`  ${colours.blue('↩')} Rolled back: ${receipt.reason}`);
  else if (receipt) line(receipt.clean && receipt.outcome === 'Completed', outcomeOf(receipt, run));
  if ('problem' in checked) line(false, `The application's writes can't be checked: ${checked.problem}`);
  else {
    const { acknowledged: told, present, missing, sample } = checked;
    line(
      missing === 0,
      `${count(told)} writes acknowledged to the application, ${count(present)} present, ${count(missing)} missing${sample.length > 0 ? ` (${sample.join(', ')})` : ''}`,
    );
  }
  const { switchWait } = readStatus(app);
  const held = receipt ? writePause(receipt) : null;
  if (held !== null || switchWait !== null) {
    const parts = [
      ...(held === null ? [] : [`writes were held for ${duration(held)}`]),
      ...(switchWait === null
        ? []
        : [`no write of the application waited longer than ${duration(switchWait)} for the switch`]),
    ].join('; ');
    line(true, parts.charAt(0).toUpperCase() + parts.slice(1));
  }
  if (receipt?.files) io.print(`    Receipt  ${pathToFileURL(receipt.files.html).href}`);
  if (ui !== null) io.print(`    UI       ${ui}`);
  const whole = !('problem' in checked) && checked.missing === 0;
  if (receipt?.outcome === 'RolledBack' && run.leg === 'there and back' && wentBackWhole(receipt) && whole)
    return 'back again';
  return receipt?.clean === true && receipt.outcome === 'Completed' && whole;
}

function outcomeOf(receipt: Receipt, run: Run): string {
  if (receipt.outcome !== 'Completed') return `${receipt.outcome}: ${receipt.reason}`;
  const clean = receipt.clean ? 'and the receipt is clean' : 'but the receipt is not clean';
  return `${nameOf(run.old)} was upgraded to ${nameOf(run.new)} in ${duration(receipt.seconds * 1_000)}, ${clean}`;
}

/** It had switched over, and nothing of it was left. */
function wentBackWhole({ facts, left }: Receipt): boolean {
  return left.length === 0 && facts['switch'] !== undefined;
}

function writePause({ facts }: Receipt): number | null {
  const fact = facts['switch'];
  const ms = isRecord(fact) ? fact['writePauseMs'] : null;
  return typeof ms === 'number' ? ms : null;
}

/** The server may be just coming back from a kill -9. */
async function checkPatiently(app: string): Promise<Checked | { problem: string }> {
  for (let left = 5; ; left -= 1) {
    try {
      return await checkApp(app);
    } catch (error) {
      if (left === 0) return { problem: error instanceof Error ? error.message : String(error) };
      await pause(1_000);
    }
  }
}

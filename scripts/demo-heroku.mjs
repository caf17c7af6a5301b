/*
 * `npm run demo:heroku [-- --yes]`: an upgrade of a Heroku Key-Value Store before your eyes, without an account. An emulated Heroku on
 * this machine with two apps and real Redis servers, Temporal with its UI, a worker, and `herokuFork` from one version to the next.
 * The first fork hangs, as forks of a self-signed leader do; it is told, destroyed by name, and made over the clear port.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bootstrap, root } from './bootstrap.mjs';

const yes = process.argv.slice(2).includes('--yes');
const say = (text) => console.log(`  ${text}`);
const folder = mkdtempSync(join(tmpdir(), 'ferry-demo-heroku-'));
const children = [];
let temporal;
let code = 1;

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void end(130));
try {
  code = await demo();
} catch (error) {
  console.error(`${error.message}\nLogs are in ${folder}.`);
}
await end(code);

async function demo() {
  await bootstrap();
  const [{ findTools }, { HEROKU }, { findCli }, { startTemporal, freePort }] = await Promise.all(
    ['tools', 'heroku', 'provider-cli', 'servers'].map((name) => import(`../dist/setup/${name}.js`)),
  );
  const tools = await findTools('demo', say);
  if ((await findCli(HEROKU, say)) === null)
    throw new Error('No Heroku CLI is to be had here: install it (npm install -g heroku), and start again.');
  await done(start('build', ['node_modules/typescript/bin/tsc', '-p', 'test/support/heroku'], {}));

  const heroku = start('heroku', ['.build-heroku/test/support/heroku/main.js'], {}, 'pipe');
  const lines = createInterface({ input: heroku.stdout });
  const first = await Promise.race([once(lines, 'line'), once(heroku, 'exit').then(() => null)]);
  if (first === null) throw new Error('The emulated Heroku did not start.');
  const { env, apps, addon, version, target } = JSON.parse(first[0]);
  say(`Heroku       ${env.HEROKU_HOST}, emulated; apps ${apps.join(' and ')} use ${addon} (${version})`);
  await seed(env);

  let address = tools.temporal.kind === 'server' ? tools.temporal.address : null;
  let ui = '';
  if (address === null) {
    const [port, uiPort] = [await freePort(), await freePort()];
    const options = { binary: tools.temporal.path, log: join(folder, 'temporal.log'), port, uiPort };
    temporal = await startTemporal(options);
    address = `127.0.0.1:${port}`;
    ui = `http://127.0.0.1:${uiPort}/namespaces/default/workflows/upgrade%2Fheroku%2Fcache`;
  }
  say(`Temporal     ${address}${ui && `, UI ${ui}`}`);
  const queue = `redis-ferry-demo-heroku-${process.pid}`;
  const reach = { TEMPORAL_ADDRESS: address, FERRY_TASK_QUEUE: queue };
  start('worker', ['dist/cli/main.js', 'worker'], { ...env, ...reach, FERRY_HOME: folder });
  say(`Logs         ${folder}`);
  if (!yes) {
    const prefix = `TEMPORAL_ADDRESS=${address} FERRY_TASK_QUEUE=${queue} npx ferry`;
    say('');
    say('It asks at three gates. Answer in another terminal, here in this folder, or in the UI:');
    for (const gate of ['start', 'promote', 'destroy']) say(`  ${prefix} approve cache ${gate}`);
    say(`Or go back: ${prefix} rollback cache`);
  }
  const input = {
    name: 'cache',
    app: apps[0],
    addon,
    targetVersion: target,
    mode: 'degraded',
    forkOverClearPort: true,
    stuckAfter: '5s',
    keepOldFor: '10s',
  };
  const gates = yes ? ['start', 'promote', 'destroy'].flatMap((gate) => ['--gate', `${gate}=auto`]) : [];
  const words = ['start', 'herokuFork', '--input', JSON.stringify(input), '--watch', ...gates];
  const upgrade = start('ferry', ['dist/cli/main.js', ...words], reach, 'inherit');
  const [exit] = await once(upgrade, 'exit');
  say('');
  say('Attached now, at the emulated Heroku:');
  for (const app of apps)
    for (const { name, addon: of } of await ask(env, `/apps/${app}/addon-attachments`))
      say(`  ${app}: ${name} is ${of.name}`);
  say(`Receipt and logs stay in ${folder}`);
  return exit ?? 1;
}

/** A process of our own; what it says goes to a file, unless somebody reads it. */
function start(name, args, env, stdout = 'file') {
  const log = openSync(join(folder, `${name}.log`), 'a');
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', stdout === 'file' ? log : stdout, stdout === 'inherit' ? 'inherit' : log],
  });
  children.push(child);
  return child;
}

async function done(child) {
  const [exit] = await once(child, 'exit');
  if (exit !== 0) throw new Error('The emulated Heroku could not be built.');
}

function ask(env, path) {
  return fetch(`${env.HEROKU_HOST}${path}`, {
    headers: {
      Authorization: `Bearer ${env.HEROKU_API_KEY}`,
      Accept: 'application/vnd.heroku+json; version=3',
    },
  }).then((response) => response.json());
}

/** Something to bring along. */
async function seed(env) {
  const { Redis } = await import('ioredis');
  const { REDIS_URL: url } = await ask(env, '/apps/shop/config-vars');
  const client = new Redis(url, url.startsWith('rediss:') ? { tls: { rejectUnauthorized: false } } : {});
  const pipeline = client.pipeline();
  for (let n = 0; n < 5_000; n += 1) pipeline.set(`session:${n}`, `user ${n}`, 'EX', 86_400);
  await pipeline.exec();
  client.disconnect();
}

async function end(exit) {
  for (const child of children.toReversed()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGTERM');
    await Promise.race([once(child, 'exit'), new Promise((late) => setTimeout(late, 15_000))]);
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  }
  await temporal?.stop();
  process.exit(exit);
}

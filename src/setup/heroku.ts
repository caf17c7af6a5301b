/* The Heroku CLI: the one that is here, or the pinned one of npm, installed into the cache. It weighs 395 MB, so no package of ours depends on it. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheFolder, installOnce, type Say } from './cache.js';
import { compareVersions, run, seconds, which } from './run.js';

/** `data:maintenances:*` is in the CLI itself since this one. */
export const OLDEST_HEROKU = '11.0.0';

/** What the project is tested with. */
export const HEROKU_VERSION = '11.10.0';

/** Raise the last number when the outcome of the recipe changes. */
const NAME = `heroku/${HEROKU_VERSION}-npm-1`;

export interface FoundHeroku {
  /** The program and its first arguments. */
  command: [string, ...string[]];
  version: string;
  from: string;
}

export type HerokuHere =
  | { found: FoundHeroku }
  /** What is wrong with the one there is, and what to do: a sentence each. */
  | { unfit: { what: string; next: string } }
  | { none: true };

/** Talks to nobody but the Heroku that was asked for, and waits for no answer of others. */
export const QUIET: Readonly<Record<string, string>> = {
  DISABLE_TELEMETRY: 'true',
  HEROKU_SKIP_NEW_VERSION_CHECK: '1',
  HEROKU_DISABLE_AUTOUPDATE: '1',
  HEROKU_SKIP_ANALYTICS: '1',
  NO_COLOR: '1',
  FORCE_COLOR: '0',
  TERM: 'dumb',
};

/** FERRY_HEROKU_CLI, PATH, the cache, in this order. Installs nothing. One that is named or on PATH and doesn't do is `unfit`. */
export async function lookForHeroku(cache: string = cacheFolder()): Promise<HerokuHere> {
  const named = process.env['FERRY_HEROKU_CLI'];
  if (named) return fitOrNot({ path: named, from: 'FERRY_HEROKU_CLI' });
  const onPath = which('heroku');
  if (onPath !== null) return fitOrNot({ path: onPath, from: 'PATH' });
  const found = await cached(cache);
  return found === null ? { none: true } : { found };
}

async function fitOrNot({ path, from }: { path: string; from: string }): Promise<HerokuHere> {
  const { version, why } = await versionOf([path]);
  const next = `Update it (\`npm install --global heroku@${HEROKU_VERSION}\`), or name another one in FERRY_HEROKU_CLI.`;
  if (version === null)
    return { unfit: { what: `the Heroku CLI ${path} (${from}) does not run: ${why}`, next } };
  if (compareVersions(version, OLDEST_HEROKU) < 0)
    return {
      unfit: { what: `the Heroku CLI ${path} (${from}) is ${version}, older than ${OLDEST_HEROKU}`, next },
    };
  return { found: { command: [path], version, from } };
}

async function cached(cache: string): Promise<FoundHeroku | null> {
  const command = commandIn(join(cache, NAME));
  if (!existsSync(command[1])) return null;
  const { version } = await versionOf(command);
  return version === null ? null : { command, version, from: 'npm (cache)' };
}

/** By the Node.js that runs us: there may be none on PATH. */
function commandIn(folder: string): [string, string] {
  return [process.execPath, join(folder, 'node_modules', 'heroku', 'bin', 'run.js')];
}

/**
 * The pinned one, installed into the cache now or before: by npm, in one rename, by one process at a time. Takes half a minute.
 * Throws one sentence.
 */
export async function installHeroku(say: Say, cache: string = cacheFolder()): Promise<FoundHeroku> {
  const since = Date.now();
  let fetched = false;
  const folder = await installOnce({
    name: NAME,
    say,
    cache,
    fill: async (into) => {
      fetched = true;
      await fromNpm(into);
    },
  });
  const command = commandIn(folder);
  const { version, why } = await versionOf(command);
  if (version === null) throw new Error(`the Heroku CLI from npm does not run here: ${why}`);
  if (fetched) say(`Heroku CLI ${version} from npm (${seconds(since)})`);
  return { command, version, from: fetched ? 'npm' : 'npm (cache)' };
}

/** For the tests: one that does, from wherever. Where there is none to be had, says so in one sentence and gives null. */
export async function findHeroku(say: Say, cache: string = cacheFolder()): Promise<FoundHeroku | null> {
  const here = await lookForHeroku(cache);
  if ('found' in here) return here.found;
  if ('unfit' in here) say(`${here.unfit.what}. ${here.unfit.next}`);
  try {
    return await installHeroku(say, cache);
  } catch (error) {
    say(`No Heroku CLI: ${error instanceof Error ? error.message : String(error)}. Its tests are left out.`);
    return null;
  }
}

async function fromNpm(folder: string): Promise<void> {
  if (which('npm') === null) throw new Error('there is no `npm` to install the Heroku CLI with');
  const npm = await run(
    'npm',
    ['install', '--prefix', folder, '--save-exact', '--ignore-scripts', '--no-audit', '--no-fund'].concat([
      '--loglevel=error',
      '--fetch-retries=1',
      `heroku@${HEROKU_VERSION}`,
    ]),
    // Not of the package that the worker was started from.
    { cwd: folder, timeoutMs: 600_000 },
  );
  if (!npm.ok) throw new Error(`npm could not install heroku@${HEROKU_VERSION}: ${npm.why}`);
  const { version, why } = await versionOf(commandIn(folder));
  if (version !== HEROKU_VERSION)
    throw new Error(`heroku@${HEROKU_VERSION} from npm does not run here: ${why || version}`);
}

async function versionOf(command: readonly string[]): Promise<{ version: string | null; why: string }> {
  const [program = '', ...args] = command;
  // It writes into HOME, even for this.
  const home = await mkdtemp(join(tmpdir(), 'ferry-heroku-'));
  try {
    const env = { PATH: process.env['PATH'] ?? '', HOME: home, ...QUIET };
    const asked = await run(program, [...args, '--version'], { env, timeoutMs: 60_000 });
    const version = /^heroku\/(\d+\.\d+\.\d+)/m.exec(asked.stdout)?.[1] ?? null;
    return { version, why: asked.why || 'it does not tell its version' };
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

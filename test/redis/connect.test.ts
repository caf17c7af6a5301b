import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { FerryError } from '../../src/errors.js';
import type { ServerAddress } from '../../src/redis/address.js';
import { connect, withClient } from '../../src/redis/connect.js';
import { freePort } from '../../src/setup/servers.js';
import { anyServer, serve, type TestServer } from './servers.js';

const PASSWORD = 'pl4nted-s3cret/+';
const name = 'ferry:test:1.1';

async function failure(
  address: ServerAddress,
  options: { connectTimeoutMs?: number; database?: number } = {},
): Promise<FerryError> {
  const error: unknown = await withClient({ address, name, ...options }, (client) =>
    client.set('k', 'v'),
  ).catch((thrown: unknown) => thrown);
  if (!(error instanceof FerryError)) throw new Error(`not a FerryError: ${String(error)}`);
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(PASSWORD);
  expect(error.cause).toBeUndefined();
  return error;
}

describe('a server with a password', () => {
  let server: TestServer;
  let address: ServerAddress;
  beforeAll(async () => {
    server = await serve({ keep: true, args: ['--requirepass', PASSWORD] });
    address = { host: server.host, port: server.port, password: PASSWORD };
  });
  afterAll(() => server.stop());

  it('logs in, is named, and chooses the database', async () => {
    const seen = await withClient({ address, name, database: 3 }, async (client) => [
      await client.call('CLIENT', 'GETNAME'),
      String(await client.call('CLIENT', 'LIST')),
    ]);
    expect(seen[0]).toBe(name);
    expect(seen[1]).toMatch(/name=ferry:test:1\.1 .*db=3/);
  });

  it('closes always', async () => {
    await withClient({ address, name: 'ferry:a' }, async () => undefined);
    await expect(
      withClient({ address, name: 'ferry:b' }, () => Promise.reject(new FerryError('Unknown', 'x'))),
    ).rejects.toThrow('x');
    await withClient({ address, name }, async (client) => {
      expect(String(await client.call('CLIENT', 'LIST'))).not.toMatch(/ferry:[ab]/);
    });
  });

  it.each([
    ['WrongPassword', { password: 'pl4nted-s3cret-wrong' }, 'refused the user or the password'],
    ['WrongPassword', { username: 'nobody', password: PASSWORD }, 'refused the user or the password'],
  ])('%s', async (type, change, says) => {
    const error = await failure({ ...address, ...change });
    expect(error.type).toBe(type);
    expect(error.message).toBe(`127.0.0.1:${server.port} ${says}`);
  });

  it('says when no password is given', async () => {
    expect((await failure({ host: server.host, port: server.port })).type).toBe('WrongPassword');
  });

  it('takes a password that is not needed, and prints nothing', async () => {
    const open = await serve();
    const printed = vi.spyOn(console, 'warn');
    const withPassword = { host: open.host, port: open.port, password: PASSWORD };
    expect(await withClient({ address: withPassword, name }, (client) => client.ping())).toBe('PONG');
    expect(printed).not.toHaveBeenCalled();
  });

  it('names the command that is not permitted', async () => {
    await withClient({ address, name }, (client) =>
      client.call('ACL', 'SETUSER', 'reader', 'on', `>${PASSWORD}`, '~*', '+@read', '+client'),
    );
    const error = await failure({ ...address, username: 'reader' });
    expect(error).toMatchObject({
      type: 'NotPermitted',
      message: `127.0.0.1:${server.port} does not allow SET`,
    });
  });

  it('says when there is no such database', async () => {
    expect(await failure(address, { database: 99 })).toMatchObject({
      type: 'InvalidInput',
      message: expect.stringContaining('no database'),
    });
  });
});

describe('what a server may answer', () => {
  it('a replica takes no writes', async () => {
    const server = await serve({ args: ['--replicaof', '127.0.0.1', '1'] });
    expect((await failure({ host: server.host, port: server.port })).type).toBe('ReadOnlyTarget');
  });

  it('a full server', async () => {
    const server = await serve({ args: ['--maxmemory', '1'] });
    expect((await failure({ host: server.host, port: server.port })).type).toBe('TargetOutOfMemory');
  });

  it('a cluster', async () => {
    const server = await serve({ args: ['--cluster-enabled', 'yes'] });
    expect((await failure({ host: server.host, port: server.port })).type).toBe('ClusterMode');
  });

  it.each([
    ['-LOADING Redis is loading the dataset in memory', 'Loading'],
    ['-NOREPLICAS Not enough good replicas to write.', 'ReadOnlyTarget'],
    ['-DENIED Redis is running in protected mode', 'NotPermitted'],
    ['-ERR max number of clients reached', 'Unreachable'],
    ['HTTP/1.1 400 Bad Request', 'Unreachable'],
  ])('%s', async (line, type) => {
    const { port, close } = await fake((write) => write(`${line}\r\n`));
    expect((await failure({ host: '127.0.0.1', port })).type).toBe(type);
    close();
  });
});

describe('a server that can not be reached', () => {
  it('nothing listens', async () => {
    const port = await freePort();
    expect(await failure({ host: '127.0.0.1', port, password: PASSWORD })).toMatchObject({
      type: 'Unreachable',
      message: `127.0.0.1:${port} refused the connection`,
    });
  });

  it('a name that does not resolve', async () => {
    expect(await failure({ host: 'no-such-host.invalid', port: 6379 })).toMatchObject({
      type: 'Unreachable',
      message: expect.stringContaining('no-such-host.invalid:6379'),
    });
  });

  it('one that never answers', async () => {
    const { port, close } = await fake(() => undefined);
    const started = performance.now();
    expect(await failure({ host: '127.0.0.1', port }, { connectTimeoutMs: 300 })).toMatchObject({
      type: 'Unreachable',
      message: `127.0.0.1:${port} did not answer within 0.3 s`,
    });
    expect(performance.now() - started).toBeLessThan(2_000);
    close();
  });

  it('one that closes at once, as a TLS server does', async () => {
    const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await new Promise((done) => server.once('listening', done));
    const { port } = server.address() as { port: number };
    const error = await failure({ host: '127.0.0.1', port });
    expect(error.type).toBe('Unreachable');
    server.close();
  });

  it('a command that takes too long', async () => {
    const server = await serve();
    await expect(
      withClient(
        { address: { host: server.host, port: server.port }, name, commandTimeoutMs: 200 },
        (client) => client.call('DEBUG', 'SLEEP', '1').catch(() => client.blpop('nothing', 0)),
      ),
    ).rejects.toMatchObject({ type: 'Unreachable', message: expect.stringContaining('in time') });
  });

  it('aborting ends it, before and during', async () => {
    const server = await serve();
    const address = { host: server.host, port: server.port };
    await expect(connect({ address, name, signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    );
    await expect(
      withClient({ address, name, signal: AbortSignal.timeout(200) }, (client) => client.blpop('nothing', 0)),
    ).rejects.toMatchObject({ name: 'TimeoutError' });
  });
});

describe('TLS', () => {
  const tls = anyServer('r70', 'r80', 'r72', 'v81').tls;
  let dir: string;
  let server: TestServer;
  let ca: string;
  beforeAll(async () => {
    if (!tls) return;
    dir = await mkdtemp(join(tmpdir(), 'ferry-tls-'));
    const openssl = (...args: string[]) => promisify(execFile)('openssl', args, { cwd: dir });
    await openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      'key.pem',
      '-out',
      'cert.pem',
      '-days',
      '2',
      '-subj',
      '/CN=redis.test',
      '-addext',
      'subjectAltName=DNS:redis.test',
    );
    const at = (file: string) => join(dir, file);
    ca = await readFile(at('cert.pem'), 'utf8');
    server = await serve({
      keep: true,
      name: 'r70',
      tls: { cert: at('cert.pem'), key: at('key.pem'), ca: at('cert.pem') },
    });
  });
  afterAll(async () => {
    if (!tls) return;
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it.skipIf(!tls)('connects with the CA and the name, or insecurely', async () => {
    const address = { host: '127.0.0.1', port: server.tlsPort! };
    expect(
      await withClient({ address: { ...address, tls: { ca, serverName: 'redis.test' } }, name }, (client) =>
        client.ping(),
      ),
    ).toBe('PONG');
    expect(
      await withClient({ address: { ...address, tls: { insecure: true } }, name }, (client) => client.ping()),
    ).toBe('PONG');
  });

  it.skipIf(!tls).each([
    ['without the CA', {}, /certificate/],
    ['with another name', { serverName: 'other.test' }, /certificate/],
    ['with a CA that is none', { ca: 'nonsense' }, /./],
  ])('%s', async (_title, options, says) => {
    const error = await failure({ host: '127.0.0.1', port: server.tlsPort!, tls: options });
    expect(error.type).toBe('TlsFailed');
    expect(error.message).toMatch(says);
  });

  it.skipIf(!tls)('on the port without TLS, and without TLS on the port with it', async () => {
    // It waits for the end of what it takes for a line.
    const over = await failure({ host: '127.0.0.1', port: server.port, tls: {} }, { connectTimeoutMs: 300 });
    expect(over).toMatchObject({ message: expect.stringContaining('does it speak TLS on this port?') });
    const plain = await failure({ host: '127.0.0.1', port: server.tlsPort! });
    expect(plain).toMatchObject({ type: 'Unreachable', message: expect.stringContaining('rediss://') });
  });
});

async function fake(
  answer: (write: (text: string) => void) => void,
): Promise<{ port: number; close: () => void }> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => answer((text) => socket.write(text)));
  }).listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const address = server.address();
  return { port: typeof address === 'object' && address ? address.port : 0, close: () => server.close() };
}

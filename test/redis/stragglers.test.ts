import { describe, expect, it } from 'vitest';
import { fence } from '../../src/redis/fence.js';
import { watchStragglers, type Stragglers } from '../../src/redis/stragglers.js';
import { serve, SERVERS, type TestServer } from './servers.js';

const wait = (ms: number) => new Promise((done) => setTimeout(done, ms));

function watch(
  server: TestServer,
  more: {
    fenced?: boolean;
    match?: string;
    databases?: number[];
    until?: number | AbortSignal;
    onSeen?: (soFar: Stragglers) => void;
  } = {},
) {
  return watchStragglers({
    address: { host: server.host, port: server.port },
    name: 'ferry:test:1.1',
    databases: [0],
    match: '*',
    until: 900,
    fenced: false,
    ...more,
  });
}

describe.each(
  SERVERS.map(({ name }) => name).filter((name) => ['r60', 'r62', 'r70', 'r80', 'v9'].includes(name)),
)('%s', (name) => {
  it('sees nothing where there is nothing', async () => {
    const server = await serve({ name });
    expect(await watch(server, { until: 300 })).toMatchObject({
      changed: 0,
      changedSample: [],
      clients: 0,
      clientSample: [],
      fenceHeld: null,
    });
  });

  it('sees who writes, and what', async () => {
    const server = await serve({ name });
    const [app, elsewhere] = [server.client(), server.client(4)];
    await app.client('SETNAME', 'app-server-7');
    await elsewhere.ping();
    const watching = watch(server, { match: 'app:*' });
    await wait(300);
    await app.set('app:1', 'a-value-that-must-not-show');
    await app.eval('return redis.call("SET","app:2","1")', 0);
    await app.set('other:1', '1');
    const seen = await watching;
    expect(seen).toMatchObject({
      changed: 2,
      clients: 1,
      clientSample: [{ name: 'app-server-7', database: 0 }],
    });
    expect(seen.changedSample.toSorted()).toEqual(['app:1', 'app:2']);
    expect(JSON.stringify(seen)).not.toContain('must-not-show');
  });

  it('sees writes that the fence refuses, and whether it stood', async () => {
    const server = await serve({ name });
    const [client, app] = [server.client(), server.client()];
    await client.client('SETNAME', 'ferry:test:0');
    await fence({ client });
    await app.set('before', '1').catch(() => undefined);
    const watching = watch(server, { fenced: true });
    await wait(300);
    for (let i = 0; i < 3; i += 1) await app.set('a', '1').catch(() => undefined);
    const seen = await watching;
    expect(seen).toMatchObject({
      changed: 0,
      refused: name === 'r60' ? null : 3,
      clients: 1,
      fenceHeld: true,
    });
  });
});

describe('the watch', () => {
  it('says when the fence fell', async () => {
    const server = await serve();
    const client = server.client();
    await fence({ client });
    const watching = watch(server, { fenced: true, until: 1_500 });
    await wait(300);
    await client.config('SET', 'min-replicas-to-write', '0');
    expect(await watching).toMatchObject({ fenceHeld: false });
  });

  it('tells on the way, ends at once when aborted, and leaves no connection', async () => {
    const server = await serve();
    const looks: Stragglers[] = [];
    const controller = new AbortController();
    const watching = watch(server, { until: controller.signal, onSeen: (soFar) => looks.push(soFar) });
    await wait(300);
    const began = performance.now();
    controller.abort();
    expect(await watching).toMatchObject({ changed: 0 });
    expect(performance.now() - began).toBeLessThan(500);
    expect(looks.length).toBeGreaterThan(1);
    await wait(100);
    expect(String(await server.client().client('LIST'))).not.toContain('name=ferry');
  });

  it('tells a key that was written to from one that expired', async () => {
    const server = await serve();
    const client = server.client();
    await client.set('session', '1', 'PX', 300);
    const watching = watch(server);
    await wait(200);
    await client.set('app:1', 'x');
    expect(await watching).toMatchObject({ changed: 1, changedSample: ['app:1'], gone: 1 });
  });

  it('keeps to twenty samples', async () => {
    const server = await serve();
    const watching = watch(server);
    await wait(200);
    await server.client().mset(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, '1'])));
    const seen = await watching;
    expect(seen.changed).toBe(50);
    expect(seen.changedSample).toHaveLength(20);
  });

  it('does what it can for a user who may neither track nor list', async () => {
    const server = await serve();
    await server
      .client()
      .call('ACL', 'SETUSER', 'app', 'on', '>pw-planted', '~*', '+@all', '-client|list', '-client|tracking');
    const seen = await watchStragglers({
      address: { host: server.host, port: server.port, username: 'app', password: 'pw-planted' },
      name: 'ferry:test',
      databases: [0],
      match: '*',
      until: 200,
      fenced: false,
    });
    expect(seen).toMatchObject({ changed: null, clients: null, refused: 0 });
  });
});

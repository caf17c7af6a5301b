/* A real HAProxy in front of two servers, of which the first serves. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type AddressInfo } from 'node:net';
import { inject } from 'vitest';

export interface Haproxy {
  /** Where applications connect. */
  port: number;
  /** Its runtime API. */
  socket: string;
  stop(): Promise<void>;
}

export async function startHaproxy(on: { source: number; target: number }): Promise<Haproxy> {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-haproxy-'));
  const [port, socket] = [await freePort(), join(folder, 'admin.sock')];
  await writeFile(
    join(folder, 'haproxy.cfg'),
    `global
  stats socket ${socket} level admin mode 600
  maxconn 2000
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
frontend redis
  bind 127.0.0.1:${port}
  default_backend redis
backend redis
  server source 127.0.0.1:${on.source}
  server target 127.0.0.1:${on.target} disabled
`,
  );
  const child = spawn(inject('haproxy') ?? 'haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], {
    stdio: 'ignore',
  });
  for (let i = 0; i < 100 && !(await answers(port)); i += 1) {
    if (child.exitCode !== null) throw new Error('HAProxy ended at once');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    port,
    socket,
    async stop() {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const stream = connect({ host: '127.0.0.1', port });
    stream.on('connect', () => {
      stream.destroy();
      resolve(true);
    });
    stream.on('error', () => resolve(false));
  });
}

/* The emulated Heroku with the servers of this machine, and the real CLI pointed at it. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { inject, onTestFinished } from 'vitest';
import { SERVERS } from '../redis/servers.js';
import { startHeroku, type Heroku, type HerokuOptions } from '../support/heroku/index.js';
import { versionOf } from '../support/heroku/versions.js';

const OFFERED = ['r60', 'r70', 'r72', 'v81'];

const servers = Object.fromEntries(
  SERVERS.filter(({ name, tls }) => tls && OFFERED.includes(name)).map(({ name, server }) => [
    versionOf(name),
    server,
  ]),
);

/** Ends with the running test. */
export async function herokuHere(options: Omit<HerokuOptions, 'servers'> = {}): Promise<Heroku> {
  const heroku = await startHeroku({ servers, ...options });
  onTestFinished(() => heroku.close());
  return heroku;
}

/** Like an application: it doesn't check the certificate, which Heroku's customers are told not to do. */
export function customer(url: string): Redis {
  const client = new Redis(url, {
    ...(url.startsWith('rediss:') ? { tls: { rejectUnauthorized: false } } : {}),
    protocol: 2,
    disableClientInfo: true,
    retryStrategy: null,
  });
  client.on('error', () => undefined);
  onTestFinished(() => client.disconnect());
  return client;
}

export interface Answer {
  status: number;
  body: unknown;
  headers: Headers;
}

/** @throws when the answer is dropped */
export async function ask(heroku: Heroku, what: string, body?: unknown): Promise<Answer> {
  const [method = '', path = ''] = what.split(' ');
  const response = await fetch(heroku.url + path, {
    method,
    headers: { Authorization: `Bearer ${heroku.env['HEROKU_API_KEY']}`, 'Content-Type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json(), headers: response.headers };
}

/** Null where there is none: the set-up has said why. */
export const HEROKU_CLI = inject('herokuCli');

export interface Said {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Cli {
  (...words: string[]): Promise<Said>;
  /** Hosts that it has connected to, or asked a name server for. */
  hosts(): Promise<string[]>;
}

/** Notes in a file where the process that it is loaded in connects to. */
const HOOK = `
const { appendFileSync } = require('node:fs');
const net = require('node:net');
const dns = require('node:dns');
const note = (host) => appendFileSync(process.env.FERRY_NET_LOG, host + '\\n');
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...words) {
  const first = Array.isArray(words[0]) ? words[0][0] : words[0];
  const to = typeof first === 'object' ? first : { host: words[1] };
  if (!to.path) note(to.host ?? 'localhost');
  return connect.apply(this, words);
};
const lookup = dns.lookup;
dns.lookup = function (name, ...words) {
  note(name);
  return lookup.call(this, name, ...words);
};
`;

export async function herokuCli(heroku: Heroku): Promise<Cli> {
  const program = HEROKU_CLI;
  if (program === null) throw new Error('no heroku CLI here');
  const home = await mkdtemp(join(tmpdir(), 'ferry-heroku-cli-'));
  onTestFinished(() => rm(home, { recursive: true, force: true }));
  const [hook, log] = [join(home, 'hook.cjs'), join(home, 'hosts')];
  await writeFile(hook, HOOK);
  await writeFile(log, '');
  // The CLI writes a credential helper into ~/.gitconfig, and its state into ~/.cache and ~/.local.
  const env = {
    ...heroku.env,
    HOME: home,
    PATH: process.env['PATH'],
    NODE_OPTIONS: `--require=${hook}`,
    FERRY_NET_LOG: log,
  };
  const cli = (...words: string[]): Promise<Said> =>
    new Promise((done, fail) => {
      const child = spawn(program, words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
      const said: Said = { code: null, stdout: '', stderr: '' };
      child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
      child.on('error', fail);
      child.on('close', (code) => done({ ...said, code }));
    });
  return Object.assign(cli, {
    hosts: async () => [...new Set((await readFile(log, 'utf8')).split('\n').filter(Boolean))],
  });
}

/**
 * HAProxy moves the applications, by its runtime API: they keep their address, and notice a connection that is closed.
 * https://docs.haproxy.org/2.6/management.html#9.3
 *
 * The state lives in the running process: it is gone when HAProxy is restarted, so its configuration has to follow.
 */
import { connect } from 'node:net';
import { FerryError } from '../errors.js';
import { quoted } from '../inputs/in-shell.js';
import type { ByHandInput, Direction, RepointInput, SpecOf } from './types.js';

type Spec = SpecOf<'haproxy'>;

const TIMEOUT_MS = 3_000;

/** The side that serves is made ready first, so that nobody finds both closed. */
function commandsFor({ spec, direction }: { spec: Spec; direction: Direction }): string[] {
  const { backend, servers } = spec;
  const [opens, closes] =
    direction === 'forward' ? [servers.target, servers.source] : [servers.source, servers.target];
  return [
    `set server ${backend}/${opens} state ready`,
    `set server ${backend}/${closes} state maint`,
    `shutdown sessions server ${backend}/${closes}`,
  ];
}

export async function repointHaproxy({ spec, direction }: RepointInput<Spec>): Promise<string> {
  const began = performance.now();
  await Promise.all(
    socketsOf(spec).map(async (socket) => {
      for (const command of commandsFor({ spec, direction })) {
        const said = await ask({ socket, command });
        if (said !== '') throw new FerryError('CommandFailed', `HAProxy at ${socket}, "${command}": ${said}`);
      }
      const { opens, closes } = await standing({ spec, direction, socket });
      if (opens.maintenance || !closes.maintenance)
        throw new FerryError(
          'CommandFailed',
          `HAProxy at ${socket} did not keep the state that it was given`,
        );
      if (!opens.up)
        // Without a word of ours it would wait for its next health check.
        await ask({ socket, command: `set server ${spec.backend}/${opens.name} health up` });
    }),
  );
  return `HAProxy switched ${spec.backend} in ${Math.round(performance.now() - began)} ms`;
}

export interface HaproxyServer {
  name: string;
  /** `address:port` as HAProxy reaches it. */
  address: string;
  up: boolean;
  maintenance: boolean;
}

/** What HAProxy says of the two servers. @throws FerryError when it can't be reached or doesn't know them */
export async function standing(on: {
  spec: Spec;
  direction: Direction;
  socket: string;
}): Promise<{ opens: HaproxyServer; closes: HaproxyServer }> {
  const { spec, direction, socket } = on;
  const text = await ask({ socket, command: `show servers state ${spec.backend}` });
  const servers = serversIn(text);
  const find = (name: string): HaproxyServer => {
    const found = servers.find((server) => server.name === name);
    if (!found)
      throw new FerryError(
        'InvalidInput',
        `repoint: HAProxy at ${socket} has no server ${name} in backend ${spec.backend}${servers.length > 0 ? `, only ${servers.map((server) => server.name).join(', ')}` : `: ${text.trim()}`}`,
      );
    return found;
  };
  const [opens, closes] =
    direction === 'forward'
      ? [spec.servers.target, spec.servers.source]
      : [spec.servers.source, spec.servers.target];
  return { opens: find(opens), closes: find(closes) };
}

/** Columns are named by the second line; a version of the format comes first. */
export function serversIn(text: string): HaproxyServer[] {
  const [, names = '', ...rows] = text.split('\n');
  const columns = names.replace(/^#\s*/, '').split(' ');
  return rows
    .filter((row) => row.trim() !== '')
    .map((row) => {
      const values = row.split(' ');
      const at = (column: string): string => values[columns.indexOf(column)] ?? '';
      return {
        name: at('srv_name'),
        address: `${at('srv_addr')}:${at('srv_port')}`,
        // 2: running. https://docs.haproxy.org/2.6/management.html#9.3-show%20servers%20state
        up: at('srv_op_state') === '2',
        // Bits 0x01 (forced), 0x02 (inherited) and 0x20 (its name does not resolve). 0x04 only says that it began so.
        maintenance: (Number(at('srv_admin_state')) & 0x23) !== 0,
      };
    });
}

export function socketsOf({ socket }: Spec): string[] {
  return typeof socket === 'string' ? [socket] : socket;
}

/** One command, one answer, which is empty when it went well. */
function ask({ socket, command }: { socket: string; command: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const [, host, port] = /^(.*):(\d+)$/.exec(socket) ?? [];
    const stream =
      host === undefined
        ? connect({ path: socket })
        : connect({ host: host.replace(/^\[|\]$/g, ''), port: Number(port) });
    let text = '';
    stream.setTimeout(TIMEOUT_MS, () =>
      stream.destroy(new Error(`no answer within ${TIMEOUT_MS / 1_000} s`)),
    );
    stream.on('connect', () => stream.write(`${command}\n`));
    stream.on('data', (chunk) => (text += chunk.toString()));
    stream.on('end', () => resolve(text.trim()));
    stream.on('error', (error) =>
      reject(new FerryError('Unreachable', `HAProxy's socket ${socket} can not be used: ${error.message}`)),
    );
  });
}

export function describeHaproxy(spec: Spec): string[] {
  const { backend, servers } = spec;
  return [
    `Tell HAProxy (${socketsOf(spec).join(', ')}) to use ${backend}/${servers.target}, and close the sessions on ${backend}/${servers.source}`,
    'Back: the same the other way round',
  ];
}

export function byHandHaproxy({ spec, direction }: ByHandInput<Spec>): string[] {
  return socketsOf(spec).flatMap((socket) =>
    commandsFor({ spec, direction }).map((command) => {
      const to = /^(.*):(\d+)$/.test(socket) ? `TCP:${socket}` : `UNIX-CONNECT:${socket}`;
      return `echo ${quoted(command)} | socat - ${quoted(to)}`;
    }),
  );
}

/* One HTTP server for the Platform API and the data API: who may ask, what goes wrong, who answers. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import type { Effect } from './faults.js';
import { ApiError, invalid, type Call, type Handler, type Reply, type Routes } from './http.js';
import type { World } from './state.js';

/** One request, as it was seen. */
export interface Seen {
  at: Date;
  method: string;
  path: string;
  client: 'cli' | 'other';
  body: unknown;
  /** Null while it is being answered, and when the answer was dropped. */
  status: number | null;
  /** What was made to go wrong with it. */
  fault: Effect['does'] | null;
}

export async function startServer(world: World, routes: Routes, requests: Seen[]): Promise<Server> {
  const table = Object.entries(routes).map(([route, handler]) => compile(route, handler));
  /** What a GET was answered the last time. */
  const before = new Map<string, Reply>();

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname } = new URL(request.url ?? '/', 'http://127.0.0.1');
    const path = pathname.replace(/(.)\/$/, '$1');
    const method = request.method ?? 'GET';
    const client = request.headers['user-agent']?.startsWith('heroku-cli/') ? 'cli' : 'other';
    const body = await bodyOf(request);
    const seen: Seen = { at: new Date(), method, path, client, body, status: null, fault: null };
    requests.push(seen);
    const effect = world.faults.take({ method, path, client, body });
    seen.fault = effect?.does ?? null;

    const reply = async (): Promise<Reply> => {
      admit(world, request);
      if (effect?.does === 'rate-limit') throw tooMany();
      if (effect?.does === 'error' && !effect.after) throw broken(effect.status);
      if (effect?.does === 'slow') await pause(effect.ms);
      const old = before.get(path);
      if (effect?.does === 'stale' && method === 'GET' && old) return old;
      const made = await handle(table, { method, path, body, request });
      if (effect?.does === 'error') throw broken(effect.status);
      return made;
    };
    if (effect?.does === 'drop' && !effect.after) return void request.socket.destroy();
    const made = await reply().catch(refusal);
    // As text: what is answered later may have changed by then.
    const text = JSON.stringify(made.body);
    if (method === 'GET' && !effect) before.set(path, { ...made, body: JSON.parse(text) });
    if (effect?.does === 'drop') return void request.socket.destroy();
    seen.status = made.status;
    response.writeHead(made.status, {
      'Content-Type': 'application/json',
      'Request-Id': String(requests.length),
      'RateLimit-Remaining': String(world.account.remaining),
      ...made.headers,
    });
    response.end(text);
  };

  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return server;
}

function admit({ account }: World, { headers }: IncomingMessage): void {
  if (headers.authorization !== `Bearer ${account.key}` || account.keyIsExpired)
    throw new ApiError(401, 'unauthorized', 'Invalid credentials provided.');
  if (account.remaining <= 0) throw tooMany();
  account.remaining -= 1;
}

const tooMany = (): ApiError =>
  new ApiError(
    429,
    'rate_limit',
    'Your account reached the API rate limit\nPlease wait a few minutes before making new requests',
    { url: 'https://devcenter.heroku.com/articles/platform-api-reference#rate-limits' },
  );

const broken = (status: 500 | 503): ApiError =>
  status === 500
    ? new ApiError(500, 'internal_server_error', 'Internal server error.')
    : new ApiError(503, 'service_unavailable', 'Heroku is temporarily unavailable.');

function refusal(error: unknown): Reply {
  if (error instanceof ApiError) {
    const { status, id, message, more } = error;
    return { status, body: { id, message, ...more } };
  }
  // A fault of the emulator itself, for whoever tests to see.
  return {
    status: 500,
    body: { id: 'emulator', message: error instanceof Error ? error.stack : String(error) },
  };
}

interface Entry {
  method: string;
  parts: string[];
  handler: Handler;
}

function compile(route: string, handler: Handler): Entry {
  const [method = '', path = ''] = route.split(' ');
  return { method, parts: path.split('/'), handler };
}

async function handle(
  table: Entry[],
  on: { method: string; path: string; body: unknown; request: IncomingMessage },
): Promise<Reply> {
  const parts = on.path.split('/').map(decodeURIComponent);
  const found = table.find(
    (entry) =>
      entry.method === on.method &&
      entry.parts.length === parts.length &&
      entry.parts.every((part, index) => part.startsWith(':') || part === parts[index]),
  );
  if (!found)
    throw new ApiError(404, 'not_found', `The requested API endpoint was not found: ${on.method} ${on.path}`);
  const call: Call = {
    param: (name) => parts[found.parts.indexOf(`:${name}`)] ?? '',
    header: (name) => String(on.request.headers[name] ?? ''),
    parse(schema) {
      const parsed = schema.safeParse(on.body ?? {});
      if (!parsed.success)
        throw invalid(
          parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '),
        );
      return parsed.data;
    },
  };
  return found.handler(call);
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const piece of request.setEncoding('utf8')) text += String(piece);
  try {
    return text === '' ? null : JSON.parse(text);
  } catch {
    return text;
  }
}

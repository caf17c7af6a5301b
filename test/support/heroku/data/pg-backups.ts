/* The data API of Heroku Postgres as `pg:backups:*` asks it: real dumps of a real database, and a store that gives them out in pieces. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { notFound, ok, type Routes } from '../http.js';
import { appNamed, newId, type App, type World } from '../state.js';

export interface PostgresAddon {
  id: string;
  name: string;
  /** Pays for it, and has it as `as`. */
  app: App;
  as: string;
  url: string;
  /** Program that dumps it. */
  pgDump: string;
  transfers: Transfer[];
}

interface Transfer {
  uuid: string;
  num: number;
  created: Date;
  started: Date | null;
  finished: Date | null;
  succeeded: boolean;
  bytes: number;
  file: string;
}

/** What may go wrong with the store. */
export interface StoreFaults {
  /** Cuts each answer off after so many bytes; null: none. */
  cutAfter: number | null;
  /** Gives out one wrong byte. */
  spoil: boolean;
  /** Of what was asked for: method, and where each range began. */
  asked: number[];
}

export function postgresRoutes(
  world: World,
  databases: Map<string, PostgresAddon>,
  store: () => string,
): Routes {
  const ofId = (id: string): PostgresAddon => {
    const found = databases.get(id);
    if (!found) throw notFound('add_on');
    return found;
  };
  const ofApp = (key: string): PostgresAddon => {
    const app = appNamed(world, key);
    const found = [...databases.values()].find((each) => each.app.id === app.id);
    if (!found) throw notFound('add_on');
    return found;
  };
  const transfer = (database: PostgresAddon, key: string): Transfer => {
    const found = database.transfers.find(({ uuid, num }) => uuid === key || String(num) === key);
    if (!found) throw notFound('add_on');
    return found;
  };

  return {
    'GET /client/v11/databases/:id': (call) => {
      const { name } = ofId(call.param('id'));
      return ok({ name, info: [{ name: 'Continuous Protection', values: ['Off'] }] });
    },
    'POST /client/v11/databases/:id/backups': (call) => {
      const database = ofId(call.param('id'));
      const num = database.transfers.length + 1;
      const made: Transfer = {
        uuid: newId(),
        num,
        created: new Date(),
        started: null,
        finished: null,
        succeeded: false,
        bytes: 0,
        file: join(world.folder, `${database.id}-${num}.dump`),
      };
      database.transfers.push(made);
      void dump(database, made);
      return ok(view(database, made));
    },
    'GET /client/v11/apps/:app/transfers': (call) => {
      const database = ofApp(call.param('app'));
      return ok(database.transfers.map((each) => view(database, each)));
    },
    'GET /client/v11/apps/:app/transfers/:key': (call) => {
      const database = ofApp(call.param('app'));
      return ok(view(database, transfer(database, call.param('key'))));
    },
    'POST /client/v11/apps/:app/transfers/:key/actions/public-url': (call) => {
      const database = ofApp(call.param('app'));
      const { uuid } = transfer(database, call.param('key'));
      return ok({
        expires_at: new Date(Date.now() + 3_600_000),
        url: `${store()}/${uuid}?signature=hush-${uuid}`,
      });
    },
  };
}

async function dump({ url, pgDump }: PostgresAddon, made: Transfer): Promise<void> {
  made.started = new Date();
  const child = spawn(pgDump, ['--format=custom', '--no-acl', '--no-owner', `--file=${made.file}`, url], {
    stdio: 'ignore',
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  made.succeeded = code === 0;
  made.bytes = code === 0 ? (await stat(made.file)).size : 0;
  made.finished = new Date();
}

function view({ name }: PostgresAddon, made: Transfer) {
  return {
    uuid: made.uuid,
    num: made.num,
    from_name: name,
    from_type: 'pg_dump',
    to_type: 'gof3r',
    created_at: made.created.toISOString(),
    started_at: made.started?.toISOString() ?? null,
    finished_at: made.finished?.toISOString() ?? null,
    succeeded: made.succeeded,
    warnings: 0,
    source_bytes: made.bytes,
    processed_bytes: made.bytes,
    logs: [],
    options: {},
    schedule: null,
  };
}

/** As an object store does: by ranges, and only while they are of the same object. */
export async function startStoreOfBackups(
  databases: Map<string, PostgresAddon>,
  faults: StoreFaults,
): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    void (async () => {
      const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1');
      const uuid = pathname.slice(1);
      const made = [...databases.values()]
        .flatMap(({ transfers }) => transfers)
        .find((each) => each.uuid === uuid);
      if (!made?.succeeded || searchParams.get('signature') !== `hush-${uuid}`) {
        response.writeHead(403).end();
        return;
      }
      const whole = await readFile(made.file);
      const etag = `"${createHash('md5').update(whole).digest('hex')}"`;
      const asked = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
      const from = asked !== undefined && request.headers['if-range'] === etag ? Number(asked) : 0;
      faults.asked.push(from);
      const rest = Buffer.from(whole.subarray(from));
      if (faults.spoil && rest.length > 0) rest[rest.length - 1] = (rest.at(-1) ?? 0) ^ 1;
      response.writeHead(from > 0 ? 206 : 200, {
        etag,
        'content-length': rest.length,
        ...(from > 0 ? { 'content-range': `bytes ${from}-${whole.length - 1}/${whole.length}` } : {}),
      });
      if (faults.cutAfter !== null && rest.length > faults.cutAfter)
        response.write(rest.subarray(0, faults.cutAfter), () => request.socket.end());
      else response.end(rest);
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return { server, url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}` };
}

/** As the resolver of attachments shows it. */
export function postgresAttachment({ id, name, app, as }: PostgresAddon) {
  return {
    addon: { app: { id: app.id, name: app.name }, id, name, plan: { name: 'heroku-postgresql:standard-0' } },
    app: { id: app.id, name: app.name },
    config_vars: [`${as}_URL`],
    id: `attachment-${id}`,
    name: as,
    namespace: null,
  };
}

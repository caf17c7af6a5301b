/**
 * Temporal's remote codec protocol: `POST …/encode` and `POST …/decode` with `{"payloads": […]}`, bytes as base64. The UI in a
 * browser and the command `temporal` ask it, so that they show in clear what Temporal itself can't read.
 *
 * Whoever reaches it reads everything: it listens where only this machine reaches it, or wants a token; and a page in a
 * browser is served only when its origin is on the list.
 */
import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { z } from 'zod';
import { FerryError } from '../errors.js';

/** Of one request; the UI sends the payloads of one event, a payload is at most 2 MB for Temporal. */
const MOST_BYTES = 64 * 1024 * 1024;

const PayloadJson = z.object({
  metadata: z.record(z.string(), z.base64()).nullish(),
  data: z.base64().nullish(),
});
/** The command `temporal` leaves a list without elements out. */
const Body = z.object({ payloads: z.array(PayloadJson).default([]) });

export interface CodecServerOptions {
  codec: PayloadCodec;
  /** Origins of pages that may ask, such as `http://localhost:8233`. */
  origins: readonly string[];
  /** Wanted of everybody, as `Authorization: Bearer …`. */
  token: string | null;
}

/** An answer that isn't 200. */
class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Not listening yet. */
export function codecServer(options: CodecServerOptions): Server {
  return createServer((request, response) => {
    answer(request, options).then(
      ({ status, body }) => send({ request, response, options, status, body }),
      (error: unknown) => {
        const status = error instanceof Refused ? error.status : error instanceof FerryError ? 422 : 500;
        // What went wrong inside is nobody's business but the operator's.
        const message = status === 500 ? 'The codec server failed' : (error as Error).message;
        if (status === 500) console.error(error);
        send({ request, response, options, status, body: { message } });
      },
    );
  });
}

async function answer(
  request: IncomingMessage,
  { codec, origins, token }: CodecServerOptions,
): Promise<{ status: number; body: object | null }> {
  const { origin, authorization } = request.headers;
  if (origin !== undefined && !origins.includes(origin))
    throw new Refused(403, `Pages of ${origin} may not ask: name it with --origin`);
  if (request.method === 'OPTIONS') return { status: 204, body: null };
  // Behind a path of the namespace's, if the endpoint was given so.
  const way = /\/(encode|decode)$/.exec(new URL(request.url ?? '/', 'http://codec').pathname)?.[1];
  if (way === undefined) throw new Refused(404, 'There are /encode and /decode here');
  if (request.method !== 'POST') throw new Refused(405, 'Only POST is answered');
  if (token !== null && !same(authorization ?? '', `Bearer ${token}`))
    throw new Refused(401, 'The bearer token is missing or wrong');
  const parsed = Body.safeParse(json(await bodyOf(request)));
  if (!parsed.success) throw new Refused(400, 'The body is not {"payloads": […]} with base64 in it');
  const payloads = parsed.data.payloads.map(fromJson);
  const done = way === 'encode' ? await codec.encode(payloads) : await codec.decode(payloads);
  return { status: 200, body: { payloads: done.map(toJson) } };
}

function send(of: {
  request: IncomingMessage;
  response: ServerResponse;
  options: CodecServerOptions;
  status: number;
  body: object | null;
}): void {
  const { request, response, options, status, body } = of;
  const { origin } = request.headers;
  response.setHeader('Vary', 'Origin');
  if (origin !== undefined && options.origins.includes(origin)) {
    response.setHeader('Access-Control-Allow-Origin', origin);
    response.setHeader('Access-Control-Allow-Methods', 'POST');
    response.setHeader(
      'Access-Control-Allow-Headers',
      'authorization, authorization-extras, content-type, x-namespace',
    );
    response.setHeader('Access-Control-Allow-Credentials', 'true');
    // A page from elsewhere asks a server on this machine: the browser wants that said.
    response.setHeader('Access-Control-Allow-Private-Network', 'true');
    response.setHeader('Access-Control-Max-Age', '600');
  }
  // The rest of a body that is too long isn't read.
  if (status >= 400) response.setHeader('Connection', 'close');
  response.statusCode = status;
  if (body === null) {
    response.end();
    return;
  }
  response.setHeader('Content-Type', 'application/json');
  response.setHeader('Cache-Control', 'no-store');
  response.end(JSON.stringify(body));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    const part = chunk as Buffer;
    bytes += part.length;
    if (bytes > MOST_BYTES) throw new Refused(413, `The body is longer than ${MOST_BYTES} bytes`);
    chunks.push(part);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Takes as long for a guess that is nearly right. */
function same(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function fromJson({ metadata, data }: z.infer<typeof PayloadJson>): Payload {
  return {
    metadata: Object.fromEntries(
      Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value, 'base64')]),
    ),
    data: Buffer.from(data ?? '', 'base64'),
  };
}

function toJson({ metadata, data }: Payload): object {
  return {
    metadata: Object.fromEntries(
      Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString('base64')]),
    ),
    data: Buffer.from(data ?? []).toString('base64'),
  };
}

/* What a route sees of a request, and how it answers or refuses. */
import type { z } from 'zod';

export interface Call {
  param(name: string): string;
  /** The body; a wrong one is refused with 422, as Heroku does. */
  parse<T>(schema: z.ZodType<T>): T;
  header(name: string): string;
}

export interface Reply {
  status: number;
  body: unknown;
  headers?: Record<string, string>;
}

export type Handler = (call: Call) => Reply | Promise<Reply>;

/** `GET /apps/:app` → who answers. */
export type Routes = Record<string, Handler>;

export const ok = (body: unknown, headers?: Record<string, string>): Reply => ({
  status: 200,
  body,
  ...(headers ? { headers } : {}),
});
export const created = (body: unknown): Reply => ({ status: 201, body });

/** A refusal: `{"id", "message"}` with a status, as both APIs give them. */
export class ApiError extends Error {
  readonly status: number;
  readonly id: string;
  readonly more: Record<string, unknown>;
  constructor(status: number, id: string, message: string, more: Record<string, unknown> = {}) {
    super(message);
    this.status = status;
    this.id = id;
    this.more = more;
  }
}

export const invalid = (message: string): ApiError => new ApiError(422, 'invalid_params', message);

export const notFound = (resource: 'app' | 'add_on' | 'add_on attachment' | 'process type'): ApiError =>
  new ApiError(404, 'not_found', `Couldn't find that ${resource.replace('_', ' ')}.`, { resource });

/** The CLI asks the user, and repeats the request with `confirm`. */
export const unconfirmed = (message: string): ApiError => new ApiError(423, 'confirmation_required', message);

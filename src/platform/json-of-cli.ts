/** Reads what the CLI says with --json. */
import type { z } from 'zod';
import { FerryError } from '../errors.js';
import { redact } from './redact.js';

const RAW = 1_000;

/** @throws FerryError UnexpectedReply, with the text that was not understood, without secrets */
export function jsonOfCli<T>({
  stdout,
  schema,
  label,
}: {
  stdout: string;
  schema: z.ZodType<T>;
  /** The command, for the message. */
  label: string;
}): T {
  let json: unknown;
  try {
    json = JSON.parse(stdout);
  } catch {
    throw notUnderstood({ stdout, label, why: 'it is no JSON' });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const why = issue === undefined ? 'it has another shape' : [...issue.path, issue.message].join(' ');
  throw notUnderstood({ stdout, label, why });
}

function notUnderstood({ stdout, label, why }: { stdout: string; label: string; why: string }): FerryError {
  // Redacted before it is cut, so that no half of a secret is left at the cut.
  const text = redact(stdout).trim();
  const shown = text === '' ? 'nothing' : text.length > RAW ? `${text.slice(0, RAW)}…` : text;
  return new FerryError('UnexpectedReply', `what ${label} said is not understood (${why}): ${shown}`);
}

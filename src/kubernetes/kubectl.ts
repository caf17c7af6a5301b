/**
 * The real kubectl. What it prints on stderr is no failure: it warns there, and says "Unknown stream id 1, discarding message" with
 * nothing lost. Its exit code is believed; what changed something is looked at afterwards all the same.
 */
import type { Readable } from 'node:stream';
import type { z } from 'zod';
import { FerryError } from '../errors.js';
import { capture, lost, type CaptureResult } from '../platform/exec.js';
import { jsonOfCli } from '../platform/json-of-cli.js';
import { redact } from '../platform/redact.js';

/** A namespace of a cluster. */
export interface Namespace {
  namespace: string;
  /** Of the kubeconfig; default: the current one. */
  context?: string | undefined;
}

export interface Kubectl extends Namespace {
  /** From the verb on. Never a secret: `ps` shows it. */
  args: readonly [string, ...string[]];
  /** For stdin. */
  input?: string | Readable | undefined;
  timeout?: string | undefined;
  /** It changes something: it is not cut off in the middle, and when it is not known how it ended it may have done so. */
  changes?: boolean;
  signal?: AbortSignal | undefined;
}

/** A namespace's objects with 1,000 log lines of each pod. */
const LIMIT = 32 * 1024 * 1024;

export const KUBECTL = (): string => process.env['FERRY_KUBECTL'] ?? 'kubectl';

/** True where the worker itself runs in a pod, unless it was given a kubeconfig. */
export function isInside(): boolean {
  return process.env['KUBERNETES_SERVICE_HOST'] !== undefined && process.env['KUBECONFIG'] === undefined;
}

/** Words of every call. */
export function inNamespace({ namespace, context }: Namespace): string[] {
  return [...(context === undefined ? [] : ['--context', context]), '--namespace', namespace];
}

/** The same with a time limit of its own. In a pod kubectl takes its service account only where it is given none (measured with 1.34). */
export function inNamespaceWithin(on: Namespace, timeout: string): string[] {
  return [...inNamespace(on), ...(isInside() ? [] : ['--request-timeout', timeout])];
}

/**
 * Runs it to its end; what it printed, as it came: it may hold secrets.
 * @throws FerryError ToolMissing, NotFound, NotPermitted, ProviderUnavailable, OutcomeUnknown, ProviderRefused; the signal's reason
 */
export async function kubectl(on: Kubectl): Promise<string> {
  const { args, input, timeout = '30s', changes = false, signal } = on;
  const label = `kubectl ${args[0]}`;
  const ended = await tool({
    label,
    command: [KUBECTL(), ...inNamespaceWithin(on, timeout), ...args],
    input,
    // Its own limit, where it has one, comes first, and says why.
    timeout: longer(timeout),
    signal: changes ? undefined : signal,
  });
  signal?.throwIfAborted();
  if (ended.exitCode === 0) return ended.stdout;
  throw failureOf({ label, said: ended.stderrTail, exitCode: ended.exitCode, changes });
}

/** The object, as its schema reads it. @throws FerryError */
export async function getJson<T>(
  on: Omit<Kubectl, 'args'> & { what: readonly string[]; schema: z.ZodType<T> },
): Promise<T> {
  const { what, schema, ...rest } = on;
  const stdout = await kubectl({ ...rest, args: ['get', ...what, '-o', 'json'] });
  return jsonOfCli({ stdout, schema, label: `kubectl get ${what.join(' ')}` });
}

/** The same; null where there is no such object. */
export async function findJson<T>(on: Parameters<typeof getJson<T>>[0]): Promise<T | null> {
  return getJson(on).catch((error: unknown) => {
    if (error instanceof FerryError && error.type === 'NotFound') return null;
    throw error;
  });
}

/** Runs kubectl or helm, and names the one that is missing. */
export async function tool(on: {
  label: string;
  command: readonly string[];
  input?: string | Readable | undefined;
  timeout: string;
  signal?: AbortSignal | undefined;
}): Promise<CaptureResult> {
  const { label, command, timeout, ...rest } = on;
  try {
    return await capture({ label, spec: { command, timeout }, name: '', step: '', limit: LIMIT, ...rest });
  } catch (error) {
    if (error instanceof FerryError && /no such program/.test(error.message))
      throw new FerryError('ToolMissing', `there is no ${command[0]} on the worker`);
    throw error;
  }
}

/** Nobody answered, or not in time. */
const GONE =
  /Unable to connect to the server|connection refused|connection reset|no such host|i\/o timeout|TLS handshake timeout|context deadline exceeded|request canceled|ServiceUnavailable|InternalError|etcdserver|Too many requests|\bEOF\b|http2: |apiserver not ready|the server is currently unable|net\/http: |cluster unreachable/i;

/** What an end that wasn't 0 means, of kubectl and of helm. */
export function failureOf(on: {
  label: string;
  said: string;
  exitCode: number | null;
  changes: boolean;
}): FerryError {
  const { label, said, exitCode, changes } = on;
  const words = wordsOf(said) || `exit code ${exitCode ?? 'none: it was stopped'}`;
  const message = redact(`${label}: ${words}`);
  if (exitCode === null || GONE.test(words)) return lost({ changes, message });
  if (/context .* does not exist|invalid configuration|no configuration has been provided/i.test(words))
    return new FerryError('InvalidInput', message);
  if (/\(Forbidden\)|is forbidden/i.test(words)) return new FerryError('NotPermitted', message);
  if (/Unauthorized|must be logged in/i.test(words)) return new FerryError('CredentialsRefused', message);
  if (/\(NotFound\)|not found/i.test(words)) return new FerryError('NotFound', message);
  return new FerryError('ProviderRefused', message);
}

/** The last words, without warnings and klog's prefixes. */
function wordsOf(said: string): string {
  return said
    .split('\n')
    .map((line) => line.replace(/^[EIW]\d{4} \S+\s+\d+ \S+\] /, '').trim())
    .filter((line) => line !== '' && !/^(Warning:|WARNING:|Unknown stream id)/.test(line))
    .slice(-4)
    .join(' ')
    .replace(/^(Error from server |error: |Error: )/, '')
    .slice(0, 600);
}

function longer(timeout: string): string {
  const [, number = '30', unit = 's'] = /^(\d+)(s|m)$/.exec(timeout) ?? [];
  return `${Number(number) * (unit === 'm' ? 60 : 1) + 10}s`;
}

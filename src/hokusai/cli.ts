/**
 * The real hokusai CLI. It keeps the variables of an app in a ConfigMap, `<app>-environment`, in the namespace of the kubeconfig's context
 * `staging` or `production`, and restarts the app's deployments. It finds the app by `hokusai/config.yml` in the folder where it runs,
 * which is made for each call: a worker has no checkout.
 *
 * A value goes to it by stdin of its console, as `ps` would show it among the arguments of `env set`. The console always exits with 0:
 * who changes something looks afterwards.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { FerryError } from '../errors.js';
import { savedAs, type HokusaiApp } from '../inputs/refs.js';
import { KUBECTL } from '../kubernetes/kubectl.js';
import { capture, lost, type CaptureResult } from '../platform/exec.js';
import { usableCli } from '../platform/provider-cli.js';
import { redact } from '../platform/redact.js';
import { HOKUSAI } from '../setup/hokusai.js';

interface Asked {
  at: HokusaiApp;
  signal?: AbortSignal | undefined;
}

const LIMIT = 1024 * 1024;

export interface Variable {
  /** Null: the app has none of that name. */
  current: string | null;
  /** What it held before an upgrade that still runs changed it; null: none did. */
  before: string | null;
}

/** @throws FerryError; NotFound where there is no such app */
export async function variable({ key, ...asked }: Asked & { key: string }): Promise<Variable> {
  const values = await variables({ ...asked, keys: [key, savedAs(key)] });
  return { current: values.get(key) ?? null, before: values.get(savedAs(key)) ?? null };
}

/** Those that there are. */
async function variables({ keys, ...asked }: Asked & { keys: string[] }): Promise<Map<string, string>> {
  const stdout = await hokusai({ ...asked, args: ['env', 'get', ...keys] });
  // It prints NAME=value, sorted by name: what begins with no name that was asked for belongs to the value before.
  const found = new Map<string, string>();
  let last: string | undefined;
  for (const line of stdout.replace(/\n$/, '').split('\n')) {
    const [name = '', ...rest] = line.split('=');
    if (keys.includes(name) && !found.has(name)) {
      found.set(name, rest.join('='));
      last = name;
    } else if (last !== undefined) found.set(last, `${found.get(last) ?? ''}\n${line}`);
  }
  return found;
}

/** In one change of the app's variables, all or none. @throws FerryError; OutcomeUnknown where they are not as they were set */
export async function setVariables({
  values,
  ...asked
}: Asked & { values: Record<string, string> }): Promise<void> {
  const entries = Object.entries(values);
  if (entries.some(([, value]) => /[\r\n]/.test(value)))
    throw new FerryError('InvalidInput', 'hokusai takes no value of several lines');
  const words = entries.map(([key, value]) => inConsole(`${key}=${value}`));
  const said = await hokusai({
    ...asked,
    args: ['env', 'set'],
    input: `${asked.at.env} env set ${words.join(' ')}\n`,
  });
  const now = await variables({ ...asked, keys: entries.map(([key]) => key) });
  const other = entries.find(([key, value]) => now.get(key) !== value);
  if (other)
    throw new FerryError(
      'OutcomeUnknown',
      redact(
        `hokusai env set: ${other[0]} of ${shownApp(asked.at)} is not what it was set to. ${said.trim()}`,
      ),
    );
}

/** Harmless where there is none. */
export async function unsetVariable({ key, ...asked }: Asked & { key: string }): Promise<void> {
  if (!(await variables({ ...asked, keys: [key] })).has(key)) return;
  await hokusai({ ...asked, args: ['env', 'unset', key], changes: true });
}

/** Restarts every deployment of the app, and waits until its new pods have replaced the old ones. */
export async function refresh({ within, ...asked }: Asked & { within: string }): Promise<void> {
  await hokusai({ ...asked, args: ['refresh'], changes: true, timeout: within });
}

export function shownApp({ app, env }: HokusaiApp): string {
  return `the app ${app} in ${env}`;
}

/** One word for its console, which reads as Python's shlex does. */
function inConsole(word: string): string {
  return `'${word.replaceAll("'", `'"'"'`)}'`;
}

/** Gives what it printed: it may hold secrets. With `input` it is the console that runs, and `args` only names it. */
async function hokusai(
  on: Asked & {
    args: readonly [string, ...string[]];
    input?: string;
    changes?: boolean;
    timeout?: string;
  },
): Promise<string> {
  const { at, args, input, signal, timeout = '60s' } = on;
  const changes = on.changes ?? input !== undefined;
  const { command } = await usableCli(HOKUSAI, signal);
  const label = `hokusai ${args.slice(0, args[0] === 'env' ? 2 : 1).join(' ')}`;
  const folder = await mkdtemp(join(tmpdir(), 'ferry-hokusai-'));
  let ended: CaptureResult;
  try {
    await mkdir(join(folder, 'hokusai'));
    await writeFile(join(folder, 'hokusai/config.yml'), JSON.stringify({ 'project-name': at.app }));
    const kubectl = KUBECTL();
    const { PATH = '', HOME = folder } = process.env;
    ended = await capture({
      label,
      spec: { command: [...command, ...(input === undefined ? [at.env, ...args] : ['console'])], timeout },
      name: '',
      step: '',
      env: { ...HOKUSAI.env, HOME, PATH: isAbsolute(kubectl) ? `${dirname(kubectl)}:${PATH}` : PATH },
      input,
      cwd: folder,
      limit: LIMIT,
      // What changes something is never cut off.
      signal: changes ? undefined : signal,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  signal?.throwIfAborted();
  // It tells its errors on stdout.
  const failed = ended.exitCode !== 0 || /^ERROR: /m.test(ended.stdout);
  if (!failed) return ended.stdout;
  throw failureOf({
    label,
    at,
    changes,
    timeout,
    exitCode: ended.exitCode,
    said: `${ended.stdout}\n${ended.stderrTail}`,
  });
}

/** Nobody answered. */
const GONE =
  /Unable to connect|connection refused|connection reset|no such host|i\/o timeout|TLS handshake|deadline exceeded|ServiceUnavailable|etcdserver/i;

/** What an end means that wasn't a good one. */
export function failureOf(on: {
  label: string;
  at: HokusaiApp;
  changes: boolean;
  timeout: string;
  exitCode: number | null;
  said: string;
}): FerryError {
  const { label, at, changes, timeout, exitCode, said } = on;
  const words = said
    .split('\n')
    .map((line) => line.replace(/^ERROR: /, '').trim())
    .filter((line) => line !== '' && !/^Command '.*returned non-zero/.test(line))
    .join(' ')
    .slice(0, 500);
  if (exitCode === null)
    return lost({
      changes,
      message: `${label} for ${shownApp(at)} did not end within ${timeout} and was stopped`,
    });
  if (/context was not found|context .* does not exist|cannot locate context/i.test(words))
    return noContext(label, at);
  if (/kubectl: (command )?not found/i.test(words))
    return new FerryError('ToolMissing', `${label}: there is no kubectl on the worker, which hokusai needs`);
  if (GONE.test(words)) return lost({ changes, message: redact(`${label}: ${words}`) });
  if (/\(NotFound\)/.test(words))
    return new FerryError(
      'NotFound',
      `there is no app ${at.app} in ${at.env}: hokusai finds no ConfigMap ${configMapOf(at)} there`,
    );
  if (/\(Forbidden\)|is forbidden/i.test(words))
    return new FerryError('NotPermitted', redact(`${label}: ${words}`));
  if (/Unauthorized|must be logged in/i.test(words))
    return new FerryError('CredentialsRefused', redact(`${label}: ${words}`));
  return new FerryError('ProviderRefused', redact(`${label}: ${words || `exit code ${exitCode}`}`));
}

export function noContext(of: string, { env }: HokusaiApp): FerryError {
  return new FerryError(
    'InvalidInput',
    `${of}: the kubeconfig of the worker has no context "${env}", which hokusai uses for that environment`,
  );
}

/** Where it keeps an app's variables. */
export function configMapOf({ app }: HokusaiApp): string {
  return `${app}-environment`;
}

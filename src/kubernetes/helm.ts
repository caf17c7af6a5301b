/** The real helm. Values go to it in a file that only the worker reads: they may hold passwords. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { FerryError } from '../errors.js';
import { jsonOfCli } from '../platform/json-of-cli.js';
import { failureOf, tool, type Namespace } from './kubectl.js';

export interface Release extends Namespace {
  release: string;
  signal?: AbortSignal | undefined;
}

/** What a release is to be made of. */
export interface Chart {
  /** A folder or an archive on the worker, `repo/name`, or `oci://…`. */
  chart: string;
  chartVersion?: string | undefined;
}

/** As helm takes them: an object of objects, lists and plain values. */
export type Values = Record<string, unknown>;

const HELM = (): string => process.env['FERRY_HELM'] ?? 'helm';

/** @throws FerryError as kubectl.ts has them; Locked where another operation on the release is under way, or was left so */
async function helm(
  on: Release & { args: readonly [string, ...string[]]; timeout?: string; changes?: boolean; label?: string },
): Promise<string> {
  const { args, namespace, context, timeout = '60s', changes = false, signal } = on;
  const label = on.label ?? `helm ${args[0]}`;
  const ended = await tool({
    label,
    command: [
      HELM(),
      '--namespace',
      namespace,
      ...(context === undefined ? [] : ['--kube-context', context]),
      ...args,
    ],
    timeout,
    // What changes something is never cut off: helm would leave the release as pending.
    signal: changes ? undefined : signal,
  });
  signal?.throwIfAborted();
  if (ended.exitCode === 0) return ended.stdout;
  if (/another operation \(install\/upgrade\/rollback\) is in progress/.test(ended.stderrTail))
    throw new FerryError('Locked', pendingSays(on));
  throw failureOf({ label, said: ended.stderrTail, exitCode: ended.exitCode, changes });
}

/** What a release that helm left as pending means, and what to do. */
export function pendingSays({ release, namespace }: Pick<Release, 'release' | 'namespace'>): string {
  return `another helm operation on ${namespace}/${release} is under way, or was interrupted. Wait until it has ended; where nobody runs one, \`helm rollback ${release} <the last deployed revision> -n ${namespace}\` ends it`;
}

const Revision = z.object({
  revision: z.number(),
  updated: z.string(),
  status: z.string(),
  chart: z.string(),
  app_version: z.string().default(''),
  description: z.string().default(''),
});
export type Revision = z.infer<typeof Revision>;

/** Oldest first, at most 256. @throws FerryError, NotFound where there is no such release */
export async function history(on: Release): Promise<Revision[]> {
  const stdout = await helm({ ...on, args: ['history', on.release, '--max', '256', '-o', 'json'] });
  return jsonOfCli({ stdout, schema: z.array(Revision), label: 'helm history' });
}

/** The values that people gave, of a revision. They may hold passwords. */
export async function givenValues(on: Release & { revision: number }): Promise<Values> {
  const args = ['get', 'values', on.release, '--revision', String(on.revision), '-o', 'json'] as const;
  const stdout = await helm({ ...on, args });
  return (
    jsonOfCli({ stdout, schema: z.record(z.string(), z.unknown()).nullable(), label: 'helm get values' }) ??
    {}
  );
}

/** The objects of a revision as YAML. They may hold passwords. */
export async function manifest(on: Release & { revision: number }): Promise<string> {
  return helm({ ...on, args: ['get', 'manifest', on.release, '--revision', String(on.revision)] });
}

/**
 * The objects that an upgrade, or an installation, would bring, checked by the cluster.
 * @throws FerryError ProviderRefused, with the chart's own words
 */
export async function rendered(on: Release & Chart & { values: Values }): Promise<string> {
  const stdout = await withValues(on.values, (file) =>
    helm({
      ...on,
      label: 'helm upgrade --dry-run',
      args: [
        'upgrade',
        on.release,
        ...chartArgs(on),
        ...UPGRADE,
        '-f',
        file,
        '--dry-run=server',
        '-o',
        'json',
      ],
    }),
  );
  const { manifest: yaml } = jsonOfCli({
    stdout,
    schema: z.object({ manifest: z.string() }),
    label: 'helm upgrade --dry-run',
  });
  return yaml;
}

/** Only the given values count, beside the chart's own defaults: what an earlier revision was given would hide new ones. */
const UPGRADE = ['--install', '--reset-values'] as const;

/** Gives the new revision. Returns before any pod was changed: that is looked at by whoever calls. */
export async function upgrade(
  on: Release & Chart & { values: Values; description: string; timeout?: string },
): Promise<number> {
  const stdout = await withValues(on.values, (file) =>
    helm({
      ...on,
      changes: true,
      timeout: on.timeout ?? '5m',
      args: [
        'upgrade',
        on.release,
        ...chartArgs(on),
        ...UPGRADE,
        '-f',
        file,
        '--description',
        on.description,
        '-o',
        'json',
      ],
    }),
  );
  return jsonOfCli({ stdout, schema: z.object({ version: z.number() }), label: 'helm upgrade' }).version;
}

/** To a revision by its number, never to "the last": somebody may have made one meanwhile. */
export async function rollback(on: Release & { revision: number; timeout?: string }): Promise<void> {
  await helm({
    ...on,
    changes: true,
    timeout: on.timeout ?? '5m',
    args: ['rollback', on.release, String(on.revision)],
  });
}

/** Harmless where there is none. Claims of volumes stay, as Kubernetes keeps those of StatefulSets. */
export async function uninstall(on: Release): Promise<void> {
  await helm({
    ...on,
    changes: true,
    timeout: '5m',
    args: ['uninstall', on.release, '--ignore-not-found'],
  });
}

function chartArgs({ chart, chartVersion }: Chart): string[] {
  return [chart, ...(chartVersion === undefined ? [] : ['--version', chartVersion])];
}

/** In a file that is gone afterwards. JSON is YAML. */
async function withValues<T>(values: Values, use: (file: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'ferry-helm-'));
  try {
    const file = join(folder, 'values.json');
    await writeFile(file, JSON.stringify(values), { mode: 0o600 });
    return await use(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

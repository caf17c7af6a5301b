/**
 * An app that the hokusai CLI looks after: its variable gets the new URL, and its pods are restarted, since they read it as they start.
 *
 * Until a pod has been replaced it writes to the old server, which refuses it: so going over takes as long as the restart of the app.
 * The old value stands beside the new one until the end, in another variable of the same app that came in the same change.
 */
import { FerryError } from '../errors.js';
import type { Check } from '../contract.js';
import { quoted } from '../inputs/in-shell.js';
import { savedAs } from '../inputs/refs.js';
import { configMapOf, refresh, setVariables, shownApp, unsetVariable, variable } from '../hokusai/cli.js';
import { deploymentsOf } from '../hokusai/deployments.js';
import { check } from '../redis/preflight/check.js';
import { shown } from '../redis/address.js';
import { urlInShell } from '../redis/break-glass.js';
import { rememberSecret } from '../platform/redact.js';
import { addressedInShell, urlOf, type ByHandInput, type RepointInput, type SpecOf } from './types.js';

type Spec = SpecOf<'hokusai'>;

/** Safe to repeat: the app is restarted once more then. @throws FerryError; PodNotReady where it did not restart in time */
export async function repointHokusai({
  spec,
  direction,
  serving,
  signal,
}: RepointInput<Spec>): Promise<string> {
  const at = { app: spec.app, env: spec.env };
  const asked = { at, signal };
  const { current, before } = await variable({ ...asked, key: spec.key });
  for (const secret of [current, before]) if (secret) rememberSecret(secret);
  if (direction === 'back') {
    if (before === null) return `${spec.key} of ${shownApp(at)} was not changed`;
    if (current !== before) await setVariables({ ...asked, values: { [spec.key]: before } });
    await restarted(spec, signal);
    await unsetVariable({ ...asked, key: savedAs(spec.key) });
    return `${spec.key} of ${shownApp(at)} holds again what it held before, and the app was restarted`;
  }
  const url = urlOf(serving);
  rememberSecret(url);
  if (current === null) throw unknownVariable(spec);
  if (before !== null && current !== url && current !== before)
    throw new FerryError(
      'ProviderRefused',
      `${spec.key} of ${shownApp(at)} was changed by somebody since ${savedAs(spec.key)} was saved. Look at both, and unset the saved one if it is of no use any more`,
    );
  if (current !== url)
    await setVariables({ ...asked, values: { [spec.key]: url, [savedAs(spec.key)]: before ?? current } });
  await restarted(spec, signal);
  return `${spec.key} of ${shownApp(at)} names ${shown(serving.address)}, and the app was restarted`;
}

/** hokusai waits for the new pods; whether they are there is looked at all the same. */
async function restarted(spec: Spec, signal: AbortSignal | undefined): Promise<void> {
  const at = { app: spec.app, env: spec.env };
  try {
    await refresh({ at, signal, within: spec.within });
  } catch (error) {
    if (!(error instanceof FerryError) || !['OutcomeUnknown', 'ProviderRefused'].includes(error.type))
      throw error;
    const late = (await deploymentsOf(at, signal)).filter(({ settled }) => !settled);
    if (late.length === 0) throw error;
    throw new FerryError(
      'PodNotReady',
      `the new pods of ${late.map(({ name }) => name).join(', ')} (${shownApp(at)}) do not get ready: ${error.message}`,
    );
  }
  const late = (await deploymentsOf(at, signal)).filter(({ settled }) => !settled);
  if (late.length > 0)
    throw new FerryError(
      'PodNotReady',
      `hokusai has restarted ${shownApp(at)}, but ${late.map(({ name }) => name).join(', ')} still has pods that are old or not ready`,
    );
}

/** Before anything is changed: that it is there, and that restarting would bring the new value. @throws FerryError */
export async function preflightHokusai(on: {
  spec: Spec;
  source: { host: string; port: number };
  signal?: AbortSignal | undefined;
}): Promise<Check[]> {
  const { spec, source, signal } = on;
  const at = { app: spec.app, env: spec.env };
  const { current } = await variable({ at, signal, key: spec.key });
  if (current === null) throw unknownVariable(spec);
  rememberSecret(current);
  const deployments = await deploymentsOf(at, signal);
  const readers = deployments.filter(({ reads }) => reads(spec.key));
  const names = (list: typeof deployments) => list.map(({ name }) => name).join(', ');
  const unsettled = deployments.filter(({ settled }) => !settled);
  const held = addressIn(current);
  const same = held !== null && held.host === source.host && held.port === source.port;
  return [
    check({
      name: 'The app reads its variable from hokusai',
      expected: `a deployment with app=${spec.app}, layer=application that takes ${spec.key} from ${configMapOf(at)}`,
      actual: names(readers) || (deployments.length > 0 ? `none of ${names(deployments)}` : 'no deployment'),
      ...(readers.length > 0
        ? {}
        : {
            status: 'fail',
            next: '`hokusai refresh` restarts these deployments alone, and the new address would not reach the app. Correct `app`, `env` or `key`, or the deployment.',
          }),
    }),
    check({
      name: 'The app is ready',
      expected: 'every pod is, and none is of an older template',
      actual: unsettled.length === 0 ? 'it is' : `not: ${names(unsettled)}`,
      ...(unsettled.length === 0
        ? {}
        : { status: 'fail', next: 'Bring it to rest first: it is going to be restarted.' }),
    }),
    check({
      name: 'The app uses the source',
      expected: `${source.host}:${source.port}`,
      actual: held === null ? `${spec.key} holds no URL of a server` : `${held.host}:${held.port}`,
      ...(same
        ? {}
        : {
            status: 'fail',
            waivable: true,
            next: `Going back gives ${spec.key} what it holds now. Where that is the source by another name, waive this check.`,
          }),
    }),
  ];
}

const PORTS: Readonly<Record<string, number>> = {
  'redis:': 6379,
  'rediss:': 6379,
  'postgres:': 5432,
  'postgresql:': 5432,
};

function addressIn(url: string): { host: string; port: number } | null {
  const parsed = URL.canParse(url.trim()) ? new URL(url.trim()) : null;
  const usual = parsed && PORTS[parsed.protocol];
  if (!parsed || usual == null) return null;
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1',
    port: parsed.port ? Number(parsed.port) : usual,
  };
}

/** When there is no going back any more. */
export async function finishHokusai(spec: Spec): Promise<void> {
  await unsetVariable({ at: { app: spec.app, env: spec.env }, key: savedAs(spec.key) });
}

function unknownVariable(spec: Spec): FerryError {
  return new FerryError('NotFound', `${shownApp(spec)} has no variable ${spec.key}`);
}

export function describeHokusai(spec: Spec): string[] {
  const { key, env } = spec;
  return [
    `Set ${key} of ${shownApp(spec)} by hokusai to the URL of the serving side, and keep what it holds now in ${savedAs(spec.key)} until the end`,
    `Restart the app (hokusai ${env} refresh), within ${spec.within}; until a pod is replaced its writes are refused`,
    `Back: give ${key} its old value, and restart the app`,
  ];
}

export function byHandHokusai({ spec, direction, endpoint, serving }: ByHandInput<Spec>): string[] {
  const { app, env, key } = spec;
  // hokusai finds the app by the folder where it runs; its console takes the value by stdin, and `ps` doesn't show it.
  const project = `cd "$(mktemp -d)" && mkdir hokusai && echo ${quoted(`project-name: ${app}`)} > hokusai/config.yml`;
  const value =
    direction === 'back'
      ? `"$(hokusai ${env} env get ${savedAs(spec.key)} | cut -d= -f2-)"`
      : `"$(printf '%s\\n' ${urlInShell(endpoint)} | ${addressedInShell(serving.database)})"`;
  const set = `printf "${env} env set '${key}=%s'\\n" ${value} | hokusai console`;
  const back = direction === 'back' ? `[ -n ${value} ] && ` : '';
  return [`(${project} && ${back}${set} && hokusai ${env} refresh)`];
}

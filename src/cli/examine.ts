/** What `ferry doctor` looks at. Heavy: import it lazily. */
import { access, constants, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PHASE_ATTRIBUTE } from '../contract.js';
import { ferryHome } from '../platform/home.js';
import { cacheFolder } from '../setup/cache.js';
import { HEROKU } from '../setup/heroku.js';
import { HOKUSAI, whyNoHokusai } from '../setup/hokusai.js';
import { lookForCli, type ProviderCli } from '../setup/provider-cli.js';
import { run, which } from '../setup/run.js';
import { CliError } from './exit.js';
import type { Io } from './io.js';
import { resolveTarget, withSession, type GlobalOptions, type Session } from './session.js';
import { pollers } from './upgrade.js';

export interface Finding {
  name: string;
  status: 'ok' | 'warn' | 'fail';
  found: string;
  next?: string;
}

export async function examine(io: Io, options: GlobalOptions): Promise<Finding[]> {
  return [
    node(process.versions.node),
    ...(await temporal(io, options)),
    await redisCli(),
    await herokuCli(),
    await hokusaiCli(),
    await clusterTools(),
    await home(),
    await cache(),
  ];
}

export function node(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const found = `Node.js ${version}`;
  if (major > 20 || (major === 20 && minor >= 3)) return { name: 'Node.js', status: 'ok', found };
  return { name: 'Node.js', status: 'fail', found, next: 'Install Node.js 20.3 or newer.' };
}

async function temporal(io: Io, options: GlobalOptions): Promise<Finding[]> {
  const { address, namespace, taskQueue } = resolveTarget(io, options);
  try {
    return await withSession(io, options, async (session) => [
      await server(session),
      await namespaceOf(session),
      await queue(session),
      await attribute(session),
    ]);
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    const next = error instanceof CliError ? error.next[0] : undefined;
    return [
      {
        name: 'Temporal',
        status: 'fail',
        found: `${address}: ${found}`,
        ...(next === undefined ? {} : { next }),
      },
      { name: 'Task queue', status: 'warn', found: `${taskQueue} in ${namespace}: not looked at` },
    ];
  }
}

async function server({ connection, address }: Session): Promise<Finding> {
  const { serverVersion } = await connection.workflowService.getSystemInfo({});
  return { name: 'Temporal', status: 'ok', found: `${address}, server ${serverVersion}` };
}

async function namespaceOf({ connection, namespace }: Session): Promise<Finding> {
  const { config } = await connection.workflowService.describeNamespace({ namespace });
  const days = Math.floor(Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) / 86_400);
  return {
    name: 'Namespace',
    status: 'ok',
    found: `${namespace}${days > 0 ? `, keeps histories for ${days} ${days === 1 ? 'day' : 'days'} (receipts stay on the worker)` : ''}`,
  };
}

async function queue(session: Session): Promise<Finding> {
  const polling = await pollers(session);
  if (polling > 0)
    return {
      name: 'Task queue',
      status: 'ok',
      found: `${session.taskQueue}, ${polling} ${polling === 1 ? 'worker polls' : 'workers poll'} it`,
    };
  return {
    name: 'Task queue',
    status: 'warn',
    found: `${session.taskQueue}, no worker polls it`,
    next: 'Start one with `ferry worker`, or name the right queue with --task-queue.',
  };
}

async function attribute({ connection, namespace }: Session): Promise<Finding> {
  const name = PHASE_ATTRIBUTE;
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    // 2: Keyword.
    if (customAttributes?.[name] === 2) return { name, status: 'ok', found: 'registered (Keyword)' };
    if (customAttributes?.[name] !== undefined)
      return {
        name,
        status: 'warn',
        found: 'registered, but not as Keyword',
        next: `Remove it; a worker registers it as Keyword where it may.`,
      };
  } catch {
    return {
      name,
      status: 'warn',
      found: 'not known: this server does not tell (Temporal Cloud)',
      next: `Add the search attribute ${name} (Keyword) in its settings.`,
    };
  }
  return {
    name,
    status: 'warn',
    found: 'not registered: phases go to the memo, and can not be searched for',
    next: `temporal operator search-attribute create --namespace ${namespace} --name ${name} --type Keyword`,
  };
}

async function redisCli(): Promise<Finding> {
  const path = which('redis-cli') ?? which('valkey-cli');
  if (path === null) {
    return {
      name: 'redis-cli',
      status: 'warn',
      found: 'not on PATH',
      next: 'Upgrades do without it, but break-glass commands are written for it: install it where you would run them.',
    };
  }
  const version = await run(path, ['--version'], { timeoutMs: 5_000 });
  return {
    name: 'redis-cli',
    status: version.ok ? 'ok' : 'warn',
    found: version.ok ? `${version.stdout.trim()} (${path})` : `${path}: ${version.why}`,
  };
}

/** Only some upgrades need it. `whyNot`: why it can't be installed; null: it can. */
async function providerCli(
  cli: ProviderCli,
  on: { only: string; first: string; weighs: string; whyNot: () => Promise<string | null> },
): Promise<Finding> {
  const { title: name, variable, spec, from } = cli;
  const { only, first, weighs, whyNot } = on;
  const here = await lookForCli(cli);
  if ('found' in here) {
    const { version, from: whence, command } = here.found;
    return { name, status: 'ok', found: `${version} (${whence}: ${command.at(-1)})` };
  }
  if ('unfit' in here) {
    const { what, next } = here.unfit;
    return { name, status: 'warn', found: what, next: `${next} ${only}.` };
  }
  const why = await whyNot();
  if (why !== null)
    return {
      name,
      status: 'warn',
      found: `not here, and ${why}`,
      next: `${only}: install it, or name it in ${variable}.`,
    };
  return {
    name,
    status: 'ok',
    found: `not here; a worker's first ${first} installs ${spec} from ${from} into ${cacheFolder()} (${weighs})`,
  };
}

const herokuCli = (): Promise<Finding> =>
  providerCli(HEROKU, {
    only: 'Only upgrades on Heroku need it',
    first: 'upgrade on Heroku',
    weighs: '395 MB',
    whyNot: async () => (which('npm') === null ? 'there is no npm to install it with' : null),
  });

const hokusaiCli = (): Promise<Finding> =>
  providerCli(HOKUSAI, {
    only: 'Only inputs with `hokusai` need it',
    first: 'use of it',
    weighs: '100 MB',
    whyNot: whyNoHokusai,
  });

/** Only upgrades of Helm releases need them. */
async function clusterTools(): Promise<Finding> {
  const name = 'kubectl and helm';
  const tools = [
    { tool: 'kubectl', variable: 'FERRY_KUBECTL', args: ['version', '--client', '-o', 'json'] },
    { tool: 'helm', variable: 'FERRY_HELM', args: ['version', '--short'] },
  ];
  const found: string[] = [];
  for (const { tool, variable, args } of tools) {
    const path = process.env[variable] ?? which(tool);
    if (path === null)
      return {
        name,
        status: 'ok',
        found: `no ${tool} here`,
        next: `Only upgrades of Helm releases need it: install it, or name it in ${variable}.`,
      };
    const version = await run(path, args, { timeoutMs: 10_000 });
    if (!version.ok)
      return {
        name,
        status: 'warn',
        found: `${path}: ${version.why}`,
        next: `Only upgrades of Helm releases need it. Mend it, or name another one in ${variable}.`,
      };
    found.push(`${tool} ${/v\d+\.\d+\.\d+/.exec(version.stdout)?.[0] ?? '?'} (${path})`);
  }
  return { name, status: 'ok', found: found.join(', ') };
}

async function home(): Promise<Finding> {
  const folder = ferryHome();
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await access(folder, constants.W_OK | constants.X_OK);
    return { name: 'FERRY_HOME', status: 'ok', found: `${folder} (journals and receipts of a worker here)` };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return {
      name: 'FERRY_HOME',
      status: 'fail',
      found: `${folder} can't be written (${code})`,
      next: 'Set FERRY_HOME to a folder that can, or correct its rights.',
    };
  }
}

/** Servers that `npm start` fetched; an upgrade of one's own servers needs none. */
async function cache(): Promise<Finding> {
  const folder = cacheFolder();
  const tools = await readdir(folder).catch(() => null);
  if (tools === null) {
    const writable = await access(dirname(folder), constants.W_OK).then(
      () => true,
      () => false,
    );
    return {
      name: 'Tools',
      status: 'ok',
      found: `none fetched yet (${join(folder, '')}${writable ? '' : ', to be made'})`,
    };
  }
  const kept = tools.filter((tool) => tool !== 'tmp' && tool !== 'locks');
  return {
    name: 'Tools',
    status: 'ok',
    found: `${kept.length > 0 ? kept.sort().join(', ') : 'none'} in ${folder}`,
  };
}

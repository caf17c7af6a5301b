/* The CLI of a provider: the one that is here, or the pinned one, installed into the cache. They are large, so no package of ours depends on one. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheFolder, installOnce, type Say } from './cache.js';
import { compareVersions, run, seconds, which } from './run.js';

/** A program and its first arguments. */
export type Command = [string, ...string[]];

export interface ProviderCli {
  /** As people call it: "Heroku CLI". */
  title: string;
  /** As it is called on PATH. */
  program: string;
  /** Names the one to be used. */
  variable: string;
  /** The version that the pinned one tells; missing: it tells another one than it has. */
  pinned?: string;
  /** The oldest that does; missing: each one does. */
  oldest?: string;
  /** In the cache. Its last number is raised when the outcome of the recipe changes. */
  name: string;
  /** Where the pinned one comes from: "npm". */
  from: string;
  /** The pinned one as it is called there: "heroku@11.10.0". */
  spec: string;
  /** How a person comes by one that does: a sentence's begin. */
  update: string;
  /** So that it talks to nobody but those who were asked for, and plainly. */
  env: Readonly<Record<string, string>>;
  /** How it is asked for its version, and how it tells that. */
  asked: readonly string[];
  tells: RegExp;
  /** In a folder that `fill` has filled. */
  commandIn: (folder: string) => Command;
  /** Throws one sentence. */
  fill: (folder: string) => Promise<void>;
}

export interface FoundCli {
  command: Command;
  version: string;
  from: string;
}

export type CliHere =
  | { found: FoundCli }
  /** What is wrong with the one there is, and what to do: a sentence each. */
  | { unfit: { what: string; next: string } }
  | { none: true };

/** The variable, PATH, the cache, in this order. Installs nothing. One that is named or on PATH and doesn't do is `unfit`. */
export async function lookForCli(cli: ProviderCli, cache: string = cacheFolder()): Promise<CliHere> {
  const named = process.env[cli.variable];
  if (named) return fitOrNot(cli, { path: named, from: cli.variable });
  const onPath = which(cli.program);
  if (onPath !== null) return fitOrNot(cli, { path: onPath, from: 'PATH' });
  const command = cli.commandIn(join(cache, cli.name));
  if (!existsSync(command.at(-1) ?? '')) return { none: true };
  const { version } = await versionOf(cli, command);
  return version === null ? { none: true } : { found: { command, version, from: `${cli.from} (cache)` } };
}

async function fitOrNot(cli: ProviderCli, { path, from }: { path: string; from: string }): Promise<CliHere> {
  const { title, oldest, update, variable } = cli;
  const { version, why } = await versionOf(cli, [path]);
  const next = `${update}, or name another one in ${variable}.`;
  if (version === null)
    return { unfit: { what: `the ${title} ${path} (${from}) does not run: ${why}`, next } };
  if (oldest !== undefined && compareVersions(version, oldest) < 0)
    return { unfit: { what: `the ${title} ${path} (${from}) is ${version}, older than ${oldest}`, next } };
  return { found: { command: [path], version, from } };
}

/**
 * The pinned one, installed into the cache now or before: in one rename, by one process at a time. Takes half a minute.
 * Throws one sentence.
 */
export async function installCli(
  cli: ProviderCli,
  say: Say,
  cache: string = cacheFolder(),
): Promise<FoundCli> {
  const since = Date.now();
  const { title, from, name, spec, pinned } = cli;
  let fetched = false;
  const folder = await installOnce({
    name,
    say,
    cache,
    fill: async (into) => {
      fetched = true;
      await cli.fill(into);
      const { version, why } = await versionOf(cli, cli.commandIn(into));
      if (version === null) throw new Error(`${spec} from ${from} does not run here: ${why}`);
      if (version !== (pinned ?? version))
        throw new Error(`${spec} from ${from} does not run here: it is ${version}`);
    },
  });
  const command = cli.commandIn(folder);
  const { version, why } = await versionOf(cli, command);
  if (version === null) throw new Error(`the ${title} from ${from} does not run here: ${why}`);
  if (fetched) say(`${title} ${version} from ${from} (${seconds(since)})`);
  return { command, version, from: fetched ? from : `${from} (cache)` };
}

/** For the tests: one that does, from wherever. Where there is none to be had, says so in one sentence and gives null. */
export async function findCli(
  cli: ProviderCli,
  say: Say,
  cache: string = cacheFolder(),
): Promise<FoundCli | null> {
  const here = await lookForCli(cli, cache);
  if ('found' in here) return here.found;
  if ('unfit' in here) say(`${here.unfit.what}. ${here.unfit.next}`);
  try {
    return await installCli(cli, say, cache);
  } catch (error) {
    say(
      `No ${cli.title}: ${error instanceof Error ? error.message : String(error)}. Its tests are left out.`,
    );
    return null;
  }
}

async function versionOf(
  { program, env, asked, tells }: ProviderCli,
  [first, ...args]: Command,
): Promise<{ version: string | null; why: string }> {
  // They write into HOME, or where they run, even for this.
  const home = await mkdtemp(join(tmpdir(), `ferry-${program}-`));
  try {
    const said = await run(first, [...args, ...asked], {
      cwd: home,
      env: { PATH: process.env['PATH'] ?? '', HOME: home, ...env },
      timeoutMs: 60_000,
    });
    const version = tells.exec(said.stdout)?.[1] ?? null;
    return { version, why: said.why || 'it does not tell its version' };
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

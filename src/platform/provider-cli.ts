/** The CLI of a provider as a worker uses it. */
import { FerryError } from '../errors.js';
import { installCli, lookForCli, type FoundCli, type ProviderCli } from '../setup/provider-cli.js';
import { redact } from './redact.js';

const known = new Map<ProviderCli, { of: string; cli: Promise<FoundCli> }>();

/**
 * The one that is named, on PATH, or the pinned version, which is installed when it is first needed. An installation goes on when the
 * signal aborts: the next one who asks finds it done.
 *
 * @throws FerryError ToolMissing, also where the named one, or the one on PATH, does not do; the signal's reason when aborted
 */
export function usableCli(cli: ProviderCli, signal?: AbortSignal): Promise<FoundCli> {
  // Its version is asked for once: that takes a second.
  const of = JSON.stringify(
    [cli.variable, 'PATH', 'FERRY_CACHE', 'XDG_CACHE_HOME', 'HOME'].map((name) => process.env[name]),
  );
  const before = known.get(cli);
  if (before?.of === of) return unlessAborted(before.cli, signal);
  const asked = { of, cli: findOrInstall(cli) };
  known.set(cli, asked);
  asked.cli.catch(() => {
    if (known.get(cli) === asked) known.delete(cli);
  });
  return unlessAborted(asked.cli, signal);
}

async function findOrInstall(cli: ProviderCli): Promise<FoundCli> {
  const here = await lookForCli(cli);
  if ('found' in here) return here.found;
  if ('unfit' in here) throw new FerryError('ToolMissing', `${here.unfit.what}. ${here.unfit.next}`);
  try {
    return await installCli(cli, (line) => console.error(line));
  } catch (error) {
    throw new FerryError(
      'ToolMissing',
      redact(
        `there is no ${cli.title} on the worker, and none could be installed: ${error instanceof Error ? error.message : String(error)}`,
      ),
    );
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  signal?.throwIfAborted();
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

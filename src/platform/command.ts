/** Commands that an input names: programs with an environment filled from secret references. */
import type { CommandSpec } from '../inputs/refs.js';
import { run, type RunInput, type RunResult } from './exec.js';
import { resolveSecret } from './secrets.js';

/**
 * Anything but exit code 0 is CommandFailed. On abort and on time-out the whole process group ends.
 * @throws FerryError; the signal's reason when aborted
 */
export async function runCommand(input: Omit<RunInput, 'spec'> & { spec: CommandSpec }): Promise<RunResult> {
  const { spec, label, signal } = input;
  signal?.throwIfAborted();
  const env: Record<string, string> = {};
  for (const [variable, ref] of Object.entries(spec.env ?? {}))
    env[variable] = await resolveSecret({ ref, where: `${label}: env.${variable}`, signal });
  return run({ ...input, env: { ...env, ...input.env } });
}

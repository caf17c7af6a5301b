/** Runs the application's own tests. */
import { FerryError } from '../errors.js';
import { milliseconds, type Probe } from '../inputs/refs.js';
import { runCommand } from './command.js';
import { redact } from './redact.js';
import { timeLimit } from './time-limit.js';
import { fetchFailure, originOf } from './webhook.js';

export interface ProbeResult {
  name: string;
  ok: boolean;
  seconds: number;
  /** What it said last, without secrets. */
  said: string;
}

export interface ProbeInput {
  probe: Probe;
  /** Its place in `probes`, from 0: names a probe without a name. */
  index: number;
  /** FERRY_NAME. */
  name: string;
  env?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
}

export function probeName({ probe, index }: Pick<ProbeInput, 'probe' | 'index'>): string {
  return (
    probe.name ?? ('http' in probe ? `probe ${index + 1} (${originOf(probe.http)})` : `probe ${index + 1}`)
  );
}

/** Throws only when aborted or when a secret is missing; a probe that fails is a result. */
export async function runProbe(input: ProbeInput): Promise<ProbeResult> {
  const name = probeName(input);
  const started = performance.now();
  const { ok, said } =
    'http' in input.probe
      ? await ask({ ...input, probe: input.probe })
      : await execute({ ...input, probe: input.probe, label: name });
  return {
    name,
    ok,
    said: redact(said).trim().slice(-500),
    seconds: Math.round(performance.now() - started) / 1_000,
  };
}

type Answer = Pick<ProbeResult, 'ok' | 'said'>;
type HttpProbe = Extract<Probe, { http: string }>;
type CommandProbe = Exclude<Probe, { http: string }>;

async function execute({
  probe,
  label,
  name,
  env,
  signal,
}: Omit<ProbeInput, 'probe'> & { probe: CommandProbe; label: string }): Promise<Answer> {
  try {
    const result = await runCommand({ label, spec: probe, name, step: 'Probe', env, signal });
    return { ok: true, said: result.stdoutTail.trim() || result.stderrTail };
  } catch (error) {
    if (!(error instanceof FerryError) || error.type !== 'CommandFailed') throw error;
    return { ok: false, said: error.message };
  }
}

async function ask({
  probe,
  signal,
}: {
  probe: HttpProbe;
  signal?: AbortSignal | undefined;
}): Promise<Answer> {
  const limit = timeLimit({ ms: milliseconds(probe.timeout), signal });
  try {
    // Redirections aren't followed: `status` may be the 302 itself.
    const response = await fetch(probe.http, {
      redirect: 'manual',
      signal: limit.signal,
    });
    await response.body?.cancel();
    const ok = response.status === probe.status;
    return {
      ok,
      said: ok ? `answered ${response.status}` : `answered ${response.status}, expected ${probe.status}`,
    };
  } catch (error) {
    signal?.throwIfAborted();
    return {
      ok: false,
      said: limit.passed() ? `did not answer within ${probe.timeout}` : fetchFailure(error),
    };
  } finally {
    limit.clear();
  }
}

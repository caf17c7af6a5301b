/** The application's own tests, as checks of any strategy. */
import type { Check } from '../contract.js';
import type { Probe } from '../inputs/refs.js';
import { acts, changes, type Activities } from '../runbook/acts.js';

type ProbeResult = Awaited<ReturnType<Activities['runProbes']>>[number];

/** What each of them said. */
export function runProbes({ probes, name }: { probes: Probe[]; name: string }): Promise<ProbeResult[]> {
  return acts({ ...changes, startToCloseTimeout: '1h' }, 'Run the probes').runProbes({ probes, name });
}

export function probeCheck({ name, ok, seconds, said }: ProbeResult): Check {
  return {
    name,
    status: ok ? 'pass' : 'fail',
    expected: 'it passes',
    actual: ok ? `passed in ${seconds} s` : `failed: ${said}`,
    waivable: true,
  };
}

export async function probed(input: { probes: Probe[]; name: string }): Promise<Check[]> {
  return (await runProbes(input)).map(probeCheck);
}

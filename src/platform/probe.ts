/** Runs the application's own tests. */
import { FerryError } from '../errors.js';
import type { Probe } from '../inputs/refs.js';

export interface ProbeResult {
  name: string;
  ok: boolean;
  seconds: number;
  /** What it said last, without secrets. */
  said: string;
}
/** Throws only when aborted; a probe that fails is a result. */
export async function runProbe(input: {
  probe: Probe;
  /** Its place in `probes`, from 0: names a probe without a name. */
  index: number;
  /** FERRY_NAME. */
  name: string;
  env?: Record<string, string>;
  signal?: AbortSignal;
}): Promise<ProbeResult> {
  throw new FerryError('ProbeFailed', input.name);
}

/** Runs programs. The only caller of execa. */
import { FerryError } from '../errors.js';
import type { CommandSpec } from '../inputs/refs.js';

export interface RunInput {
  /** Names the command in errors; the command itself is never shown. */
  label: string;
  spec: CommandSpec;
  /** FERRY_NAME. */
  name: string;
  /** FERRY_STEP. */
  step: string;
  /** More variables; may hold secrets. */
  env?: Record<string, string>;
  signal?: AbortSignal;
  input?: string;
}
export interface RunResult {
  exitCode: 0;
  seconds: number;
  stdoutTail: string;
  stderrTail: string;
}
/** Anything but exit code 0 is CommandFailed. */
export async function run(input: RunInput): Promise<RunResult> {
  throw new FerryError('CommandFailed', input.label);
}

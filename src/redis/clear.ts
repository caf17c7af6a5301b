/** Deletes keys by SCAN and UNLINK. */
import type { ServerAddress } from './address.js';

export interface ClearCheckpoint {
  runId: string;
  database: number;
  cursor: string;
  deleted: number;
}

export interface ClearOptions {
  address: ServerAddress;
  databases: readonly number[];
  match: string;
  checkpoint?: ClearCheckpoint | undefined;
  name?: string | undefined;
  signal: AbortSignal;
  onProgress?: ((deleted: number, checkpoint: ClearCheckpoint) => void) | undefined;
}

export interface ClearResult {
  done: boolean;
  checkpoint: ClearCheckpoint;
  deleted: number;
}

export async function deleteKeys(options: ClearOptions): Promise<ClearResult> {
  throw new Error(`not yet ${options.match}`);
}

/** Who still writes, or tries to, to a server that was left. */
import { FerryError } from '../errors.js';
import type { ServerAddress } from './address.js';
import type { ClientFacts } from './clients.js';

export interface Stragglers {
  /** Keys that changed (expiry included), by tracking; null where it isn't permitted. */
  changed: number | null;
  changedSample: string[];
  /** Writes that the fence refused; null where the server doesn't count them (before 6.2). */
  refused: number | null;
  /** Clients connected at the end in the databases, at most 20. */
  clients: number | null;
  clientSample: ClientFacts[];
  seconds: number;
  /** The fence stood all the time; null when there was none. */
  fenceHeld: boolean | null;
}

export async function watchStragglers(input: {
  address: ServerAddress;
  name: string;
  databases: readonly number[];
  /** Glob of the keys. */
  match: string;
  /** Milliseconds, or until aborted. */
  until: AbortSignal | number;
  fenced: boolean;
  onSeen?: (so_far: Stragglers) => void;
}): Promise<Stragglers> {
  throw new FerryError('Unknown', `not written yet ${input.name}`);
}

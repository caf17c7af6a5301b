/** Which serialization format (RDB version) a server writes and accepts. */
import type { Connection } from './resp.js';

export interface Formats {
  /** Versions that RESTORE accepts, ascending; null where RESTORE may not be used. */
  accepts: number[] | null;
  /** The version that DUMP writes; null when neither RESTORE nor a key told. */
  highest: number | null;
}

/** Asks without writing anything. */
export async function highestFormat(connection: Connection): Promise<Formats> {
  throw new Error(`not yet ${connection.shown}`);
}

/** What the checklist is made of. */
import type { DatabaseFacts } from '../describe.js';

export interface Looked {
  source: DatabaseFacts;
  target: DatabaseFacts;
  /** Of pg_dump and pg_restore. */
  tools: { version: string; major: number };
  /** What the input says. */
  clean: boolean;
  /** What the target holds is restored into a throwaway database first. */
  tries?: boolean;
  /** Writes are also stopped by others: maintenance mode, a command. */
  stopped: boolean;
  notified: boolean;
  /** The upgrade itself. */
  workflowId: string;
  folder: string;
  /** Bytes; null: it can't be written, and why. */
  room: { free: number | null; why: string | null };
  /** A backup of the provider is downloaded. */
  fromBackup: boolean;
}

/** What values are cut into: the pieces that one side's reader gives and the other side's writer takes. */

export type Piece =
  | { type: 'string'; offset: number; bytes: Buffer }
  | { type: 'list'; start: number; items: Buffer[] }
  | { type: 'set'; members: Buffer[] }
  | { type: 'zset'; members: { member: Buffer; score: Buffer }[] }
  | { type: 'hash'; fields: { field: Buffer; value: Buffer; expireAt: number }[] }
  | StreamPiece;

export interface StreamEntry {
  id: string;
  fields: Buffer[];
}

export interface PendingEntry {
  id: string;
  consumer: Buffer;
  /** Milliseconds since 1970. */
  deliveredAt: number;
  deliveries: number;
}

export type StreamPiece =
  | {
      type: 'stream';
      part: 'entries';
      entries: StreamEntry[];
      /**
       * Entries that are pending in a group although they were deleted. Only an entry that exists can be made pending,
       * so at the target they stand in until the end.
       */
      ghosts: string[];
      first: boolean;
    }
  | {
      type: 'stream';
      part: 'group';
      name: Buffer;
      lastId: string;
      entriesRead: number | null | undefined;
      consumers: Buffer[];
    }
  | { type: 'stream'; part: 'pending'; group: Buffer; pending: PendingEntry[] }
  | {
      type: 'stream';
      part: 'end';
      length: number;
      lastId: string;
      /** From 7.0; undefined where the server doesn't say. */
      entriesAdded: number | undefined;
      maxDeletedId: string | undefined;
      /** Ghosts after the first entry. Those before it are trimmed, since deleting would count as a deletion. */
      innerGhosts: string[];
      leadingGhosts: number;
    };

/** How many elements to ask for, so that a piece comes to about 1 MB. */
export interface Counts {
  next(): number;
  got(bytes: number, elements: number): void;
}

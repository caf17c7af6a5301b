/** A raw Redis connection: pipelines of commands out, replies in. Never reconnects, never resends. */
import type { ServerAddress } from './address.js';

export type Argument = Buffer | string | number;
export type Command = readonly Argument[];

/** An error reply of the server. `code` is its first word (`BUSYKEY`, `ERR`, …). */
export class ReplyError extends Error {
  override readonly name = 'ReplyError';
  readonly code: string;
  constructor(message: string) {
    super(message);
    this.code = message.slice(0, message.indexOf(' ') < 0 ? undefined : message.indexOf(' '));
  }
}

export type Reply = string | number | bigint | boolean | null | Buffer | ReplyError | Reply[];

export interface Connection {
  /** `host:port` */
  readonly shown: string;
  /** One command. Throws FerryError for an error reply that the table of failures knows, else ReplyError. */
  call(command: Command): Promise<Reply>;
  /** Many commands in one write. Error replies stand in the result; only a broken connection rejects. */
  pipeline(commands: readonly Command[]): Promise<Reply[]>;
  close(): void;
  /** Resolves when the connection has ended, with the reason. */
  readonly closed: Promise<Error>;
}

export interface ConnectionOptions {
  address: ServerAddress;
  /** CLIENT SETNAME. */
  name: string;
  protocol?: 2 | 3 | undefined;
  onPush?: ((message: Reply[]) => void) | undefined;
  /** Milliseconds without a byte while replies are awaited. Default 15,000. */
  idleTimeout?: number | undefined;
  signal?: AbortSignal | undefined;
}

export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  throw new Error(`not yet ${options.name}`);
}

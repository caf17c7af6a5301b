/** Whether an RDB file is whole, by what it says of itself: its beginning, its end and its checksum. */
import { createHash } from 'node:crypto';
import { FerryError } from '../../errors.js';
import { crc64 } from './crc64.js';

export interface RdbFacts {
  bytes: number;
  sha256: string;
  /** As the file says. */
  rdbVersion: number;
  /** "off": the server writes none (`rdbchecksum no`). */
  checksum: 'right' | 'off';
}

const TRAILER = 8;
const END = 0xff;
/** `REDIS0011`; Valkey writes `VALKEY080` since its format went its own way. */
const MAGIC = /^(?:REDIS(\d{4})|VALKEY(\d{3}))$/;
const MAGIC_LENGTH = 9;

/** Reads the file once, in flat memory. @throws FerryError BackupFailed when it isn't whole */
export async function checkRdb(on: {
  chunks: AsyncIterable<Buffer>;
  /** Bytes that it must have. */
  expected: number;
  onProgress?: ((bytes: number) => void) | undefined;
}): Promise<RdbFacts> {
  const { chunks, expected, onProgress } = on;
  const hash = createHash('sha256');
  const sum = crc64();
  let head = Buffer.alloc(0);
  /** The last bytes that came: the checksum covers everything before the trailer. */
  let tail = Buffer.alloc(0);
  let last = -1;
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    hash.update(chunk);
    if (head.length < MAGIC_LENGTH) head = Buffer.concat([head, chunk.subarray(0, MAGIC_LENGTH)]);
    const both = tail.length === 0 ? chunk : Buffer.concat([tail, chunk]);
    const covered = both.subarray(0, Math.max(0, both.length - TRAILER));
    sum.add(covered);
    last = covered.at(-1) ?? last;
    tail = Buffer.from(both.subarray(covered.length));
    onProgress?.(bytes);
  }
  const magic = MAGIC.exec(head.subarray(0, MAGIC_LENGTH).toString('latin1'));
  if (!magic) throw broken('it does not begin like an RDB file');
  if (bytes !== expected) throw broken(`it has ${bytes} bytes instead of ${expected}`);
  if (last !== END) throw broken('it does not end like an RDB file');
  const off = tail.every((byte) => byte === 0);
  if (!off && !tail.equals(sum.bytes()))
    throw broken(
      `its checksum is ${sum.bytes().toString('hex')}, and the server wrote ${tail.toString('hex')}`,
    );
  return {
    bytes,
    sha256: hash.digest('hex'),
    rdbVersion: Number(magic[1] ?? magic[2]),
    checksum: off ? 'off' : 'right',
  };
}

function broken(why: string): FerryError {
  return new FerryError('BackupFailed', `The snapshot is not whole: ${why}`);
}

/** Which serialization formats (RDB versions) a server writes and accepts, and what stands at the end of a DUMP. */
import { randomBytes } from 'node:crypto';
import { asText, ReplyError, type Command, type Connection } from './resp.js';

export interface Formats {
  /** Versions that RESTORE accepts, ascending; null where RESTORE may not be used. */
  accepts: number[] | null;
  /** The version that DUMP writes; null when neither RESTORE nor a key told. */
  highest: number | null;
}

/** A DUMP ends with the version (2 bytes) and a CRC64 of all before it (8 bytes). */
export const FOOTER = 10;

export function formatOf(payload: Buffer): number {
  return payload.length >= FOOTER ? payload.readUInt16LE(payload.length - FOOTER) : 0;
}

/** Valkey 9 is at 80. */
const HIGHEST_ASKED = 120;

/**
 * Asks without writing anything: a RESTORE of a type that doesn't exist is refused as "Bad data format" when the
 * version is one that the server reads, and for its version otherwise.
 */
export async function highestFormat(connection: Connection): Promise<Formats> {
  const key = `ferry:probe:${randomBytes(12).toString('hex')}`;
  const versions = Array.from({ length: HIGHEST_ASKED }, (_, i) => i + 1);
  const replies = await connection.pipeline(
    versions.map((version): Command => ['RESTORE', key, 0, nonsense(version)]),
  );
  const accepts = versions.filter((_, i) => {
    const reply = replies[i];
    return reply instanceof ReplyError && /bad data format/i.test(reply.message);
  });
  const refused = replies.some(
    (reply) => reply instanceof ReplyError && /version or checksum/i.test(reply.message),
  );
  if (accepts.length > 0 && refused) {
    // Valkey also reads Redis versions that it doesn't write, but they are all below its own.
    return { accepts, highest: accepts.at(-1) ?? null };
  }
  // A replica, a server without memory, or a user who may not RESTORE: a key tells what it writes.
  const random = await connection.call(['RANDOMKEY']).catch(() => null);
  if (!Buffer.isBuffer(random)) return { accepts: null, highest: null };
  const type = await connection.call(['TYPE', random]).then(asText, () => '');
  const small =
    type === 'string' && Number(await connection.call(['STRLEN', random]).catch(() => Infinity)) < 65_536;
  const dump = small ? await connection.call(['DUMP', random]).catch(() => null) : null;
  return { accepts: null, highest: Buffer.isBuffer(dump) ? formatOf(dump) : null };
}

/** A payload of no known type, with a right checksum. */
function nonsense(version: number): Buffer {
  const payload = Buffer.alloc(1 + FOOTER);
  payload[0] = 0xff;
  payload.writeUInt16LE(version, 1);
  payload.writeBigUInt64LE(crc64(payload.subarray(0, 3)), 3);
  return payload;
}

const POLYNOMIAL = 0x95ac9329ac4bc9b5n; // Jones, reflected

/** CRC-64 as Redis computes it (crc64.c). Bit by bit: it is only ever asked for three bytes. */
export function crc64(bytes: Buffer): bigint {
  let crc = 0n;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1n ? (crc >> 1n) ^ POLYNOMIAL : crc >> 1n;
  }
  return crc;
}

/**
 * The checksum at the end of an RDB file: CRC-64 with the polynomial of Jones, reflected, as src/crc64.c of Redis computes it.
 * Eight bytes at a time, on halves of 32 bits: BigInt would be a hundred times slower.
 */
const [POLY_HIGH, POLY_LOW] = [0x95ac9329, 0xac4bc9b5];

/** TABLE[k] is what a byte becomes with k bytes behind it. */
const [HIGH, LOW] = tables();

function tables(): [Uint32Array, Uint32Array] {
  const [high, low] = [new Uint32Array(8 * 256), new Uint32Array(8 * 256)];
  for (let byte = 0; byte < 256; byte += 1) {
    let [h, l] = [0, byte];
    for (let bit = 0; bit < 8; bit += 1) {
      const odd = l & 1;
      l = ((l >>> 1) | (h << 31)) >>> 0;
      h >>>= 1;
      if (odd) [h, l] = [(h ^ POLY_HIGH) >>> 0, (l ^ POLY_LOW) >>> 0];
    }
    high[byte] = h;
    low[byte] = l;
  }
  for (let at = 256; at < 8 * 256; at += 1) {
    const [h, l] = [of(high, at - 256), of(low, at - 256)];
    high[at] = (h >>> 8) ^ of(high, l & 255);
    low[at] = ((l >>> 8) | (h << 24)) ^ of(low, l & 255);
  }
  return [high, low];
}

function of(table: Uint32Array, at: number): number {
  return table[at] ?? 0;
}

interface Crc64 {
  add(bytes: Uint8Array): void;
  /** As the file holds it: eight bytes, the lowest first. */
  bytes(): Buffer;
}

/** Begins a sum. */
export function crc64(): Crc64 {
  let high = 0;
  let low = 0;
  return {
    add(bytes) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const whole = bytes.length - (bytes.length % 8);
      let [h, l] = [high, low];
      let at = 0;
      for (; at < whole; at += 8) {
        l ^= view.getUint32(at, true);
        h ^= view.getUint32(at + 4, true);
        const a = 1792 + (l & 255);
        const b = 1536 + ((l >>> 8) & 255);
        const c = 1280 + ((l >>> 16) & 255);
        const d = 1024 + (l >>> 24);
        const e = 768 + (h & 255);
        const f = 512 + ((h >>> 8) & 255);
        const g = 256 + ((h >>> 16) & 255);
        const i = h >>> 24;
        h = of(HIGH, a) ^ of(HIGH, b) ^ of(HIGH, c) ^ of(HIGH, d);
        h ^= of(HIGH, e) ^ of(HIGH, f) ^ of(HIGH, g) ^ of(HIGH, i);
        l = of(LOW, a) ^ of(LOW, b) ^ of(LOW, c) ^ of(LOW, d);
        l ^= of(LOW, e) ^ of(LOW, f) ^ of(LOW, g) ^ of(LOW, i);
      }
      for (; at < bytes.length; at += 1) {
        const index = (l ^ view.getUint8(at)) & 255;
        l = ((l >>> 8) | (h << 24)) ^ of(LOW, index);
        h = (h >>> 8) ^ of(HIGH, index);
      }
      [high, low] = [h, l];
    },
    bytes() {
      const out = Buffer.alloc(8);
      out.writeUInt32LE(low >>> 0, 0);
      out.writeUInt32LE(high >>> 0, 4);
      return out;
    },
  };
}

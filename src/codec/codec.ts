/** Encrypts every payload with AES-256-GCM on its way to Temporal, and decrypts it on its way back. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import { FerryError } from '../errors.js';
import { KEYS_VARIABLE, type KeyRing } from './keys.js';

const { Payload: Message } = proto.temporal.api.common.v1;

/** Names in the metadata, the same as those of Temporal's samples: the UI knows them. */
const ENCODING = 'encoding';
export const KEY_ID = 'encryption-key-id';
const ENCRYPTED = 'binary/encrypted';

const NONCE = 12;
const TAG = 16;

/**
 * A payload in clear passes through decoding: an upgrade that was begun before there were keys goes on. With no keys at
 * all nothing is encrypted.
 */
export function encryption(ring: KeyRing): PayloadCodec {
  return {
    async encode(payloads) {
      const { first } = await ring.current();
      return first ? payloads.map((payload) => encrypt(payload, first)) : payloads;
    },
    decode: (payloads) => Promise.all(payloads.map((payload) => decrypt(payload, ring))),
  };
}

function encrypt(payload: Payload, { id, key }: { id: string; key: Buffer }): Payload {
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const clear = Message.encode(payload).finish();
  return {
    metadata: { [ENCODING]: Buffer.from(ENCRYPTED), [KEY_ID]: Buffer.from(id) },
    data: Buffer.concat([nonce, cipher.update(clear), cipher.final(), cipher.getAuthTag()]),
  };
}

/** Under which key a payload was encrypted; null for one in clear. */
export function keyIdOf(payload: Pick<Payload, 'metadata'>): string | null {
  const { metadata } = payload;
  if (!metadata?.[ENCODING] || textOf(metadata[ENCODING]) !== ENCRYPTED) return null;
  return textOf(metadata[KEY_ID] ?? new Uint8Array());
}

/** @throws FerryError KeyMissing */
async function decrypt(payload: Payload, ring: KeyRing): Promise<Payload> {
  const id = keyIdOf(payload);
  if (id === null) return payload;
  const key = (await ring.current()).all.get(id) ?? (await ring.again()).all.get(id);
  if (!key) {
    const known = [...(await ring.current()).all.keys()];
    throw new FerryError(
      'KeyMissing',
      `This is encrypted with the key "${id}", which is not among the keys here (${known.join(', ') || `none: ${KEYS_VARIABLE} is not set`})`,
    );
  }
  const data = Buffer.from(payload.data ?? []);
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, data.subarray(0, NONCE));
    decipher.setAuthTag(data.subarray(-TAG));
    const clear = Buffer.concat([decipher.update(data.subarray(NONCE, -TAG)), decipher.final()]);
    return Message.decode(clear);
  } catch {
    throw new FerryError(
      'KeyMissing',
      `This was encrypted with another key "${id}" than the one here, or it was damaged since`,
    );
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}

/** Ids of the keys that one of Temporal's messages needs to be read, such as a history. */
export function keyIdsIn(message: unknown, found = new Set<string>()): Set<string> {
  if (typeof message !== 'object' || message === null || ArrayBuffer.isView(message)) return found;
  if (isPayload(message)) {
    const id = keyIdOf(message);
    if (id !== null) found.add(id);
    return found;
  }
  for (const inner of Object.values(message)) keyIdsIn(inner, found);
  return found;
}

function isPayload(thing: object): thing is Pick<Payload, 'metadata'> {
  return (
    'metadata' in thing &&
    typeof thing.metadata === 'object' &&
    thing.metadata !== null &&
    ENCODING in thing.metadata &&
    ArrayBuffer.isView(thing.metadata[ENCODING])
  );
}

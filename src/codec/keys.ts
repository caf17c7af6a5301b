/**
 * The keys that payloads are encrypted with, by their ids.
 *
 * One key a line, its id and 32 bytes in base64; the first one encrypts, every one decrypts. A file is read again when
 * it changes, so that keys are rotated without a restart.
 */
import { stat } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import type { SecretRef } from '../inputs/refs.js';
import { rememberSecret } from '../platform/redact.js';
import { resolveSecret } from '../platform/secrets.js';

export const KEYS_VARIABLE = 'FERRY_CODEC_KEYS';

export interface Keys {
  /** Encrypts; null where nothing is encrypted. */
  first: { id: string; key: Buffer } | null;
  all: ReadonlyMap<string, Buffer>;
}

/** A worker must be able to start without Heroku. */
type KeysReference = Extract<SecretRef, { env: unknown } | { file: unknown }>;

const NO_KEYS: Keys = { first: null, all: new Map() };
const BYTES = 32;

/**
 * `env:NAME` is a variable that holds the keys, anything else the path of a file.
 *
 * @throws FerryError InvalidInput when it is neither
 */
export function keysReference(text: string): KeysReference {
  const name = /^env:(.*)$/.exec(text)?.[1];
  if (name === '' || text.trim() === '')
    throw new FerryError(
      'InvalidInput',
      `${KEYS_VARIABLE} must be the path of a file with keys, or env:NAME for a variable that holds them`,
    );
  return name === undefined ? { file: text } : { env: name };
}

/**
 * Keys as they stand in a file or variable. Messages name lines and ids, never what stands there for a key.
 *
 * @throws FerryError InvalidInput
 */
export function parseKeys({ text, where }: { text: string; where: string }): Keys {
  const all = new Map<string, Buffer>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const words = line.trim().split(/\s+/);
    if (line.trim() === '' || line.trim().startsWith('#')) continue;
    const at = `${KEYS_VARIABLE}: ${where}, line ${index + 1}`;
    const [id = '', encoded = ''] = words;
    if (words.length !== 2 || !/^[\w.-]{1,64}$/.test(id))
      throw new FerryError(
        'InvalidInput',
        `${at} must be an id (1 to 64 letters, digits, dots, dashes, underscores), a space, and ${BYTES} bytes in base64`,
      );
    rememberSecret(encoded);
    const key = Buffer.from(encoded, 'base64');
    // Node.js reads what it can and is silent about the rest.
    if (key.length !== BYTES || key.toString('base64') !== encoded)
      throw new FerryError(
        'InvalidInput',
        `${at}: the key "${id}" must be ${BYTES} bytes in base64, as \`openssl rand -base64 ${BYTES}\` prints them`,
      );
    if (all.has(id)) throw new FerryError('InvalidInput', `${at}: there are two keys "${id}"`);
    all.set(id, key);
  }
  const [first] = all;
  if (!first) throw new FerryError('InvalidInput', `${KEYS_VARIABLE}: ${where} holds no key`);
  return { first: { id: first[0], key: first[1] }, all };
}

export interface KeyRing {
  /** As they were last read. */
  current(): Promise<Keys>;
  /** Reads them now: a key is missing that may have been added this moment. */
  again(): Promise<Keys>;
}

/** How old what is known of a file may be, in milliseconds. */
const FRESH = 1_000;

/**
 * `text` is what FERRY_CODEC_KEYS holds; without it there are no keys. A file that can't be read any more, or not
 * understood, changes nothing and is complained of once: an upgrade under way must not stop for a slip of the pen.
 *
 * @throws FerryError InvalidInput or MissingSecret, when they can't be read at first
 */
export async function openKeyRing(
  text: string | undefined,
  complain: (sentence: string) => void = (sentence) => console.error(sentence),
): Promise<KeyRing> {
  if (!text) return { current: async () => NO_KEYS, again: async () => NO_KEYS };
  const ref = keysReference(text);
  const where = 'env' in ref ? `the variable ${ref.env}` : ref.file;
  const read = async (): Promise<Keys> =>
    parseKeys({ text: await resolveSecret({ ref, where: KEYS_VARIABLE }), where });
  /** Changes whenever the file does. */
  const mark = async (): Promise<string> => {
    if ('env' in ref) return '';
    const { ino, size, mtimeMs } = await stat(ref.file).catch(() => ({ ino: 0, size: 0, mtimeMs: 0 }));
    return `${ino} ${size} ${mtimeMs}`;
  };

  let seen = await mark();
  let keys = await read();
  let lookedAt = Date.now();
  let complained = '';

  async function again(): Promise<Keys> {
    lookedAt = Date.now();
    const now = await mark();
    if (now === seen) return keys;
    try {
      keys = await read();
      seen = now;
      complained = '';
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== complained) complain(`${message}. The keys read before go on being used`);
      complained = message;
    }
    return keys;
  }

  return { current: async () => (Date.now() - lookedAt < FRESH ? keys : again()), again };
}

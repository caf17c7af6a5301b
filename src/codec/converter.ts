/** What clients and workers are given so that they encrypt: Temporal's data converter. */
import { fileURLToPath } from 'node:url';
import type { DataConverter } from '@temporalio/common';
import { encryption } from './codec.js';
import { KEYS_VARIABLE, openKeyRing } from './keys.js';

/** Also used where the workflows are bundled. */
export const FAILURE_CONVERTER = fileURLToPath(new URL('./failure-converter.cjs', import.meta.url));

/**
 * The data converter for clients of your own: `new Client({ connection, dataConverter: await dataConverter() })`.
 *
 * `keys` is what FERRY_CODEC_KEYS holds: the path of a file with keys, or `env:NAME`. Without it nothing is encrypted, and
 * what others have encrypted is refused in a sentence that names the key.
 *
 * @throws FerryError InvalidInput or MissingSecret when the keys can't be read
 */
export async function dataConverter(
  keys: string | undefined = process.env[KEYS_VARIABLE],
): Promise<DataConverter> {
  return { payloadCodecs: [encryption(await openKeyRing(keys))] };
}

/** A worker sends failures too, whose messages are encrypted where the rest is. */
export async function workerDataConverter(): Promise<DataConverter> {
  const converter = await dataConverter();
  return process.env[KEYS_VARIABLE] ? { ...converter, failureConverterPath: FAILURE_CONVERTER } : converter;
}

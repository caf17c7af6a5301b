/** Keys that Redis Ferry makes for itself and removes again: whichever side they are on, they are neither copied nor compared. */
import { randomBytes } from 'node:crypto';

/** Of the canary, which goes through a switch as an application would (src/canary). Each is a list that expires. */
const CANARY_PREFIX = 'ferry:canary:';

/** `id`: 24 hexadecimal digits. */
export function canaryKey(id: string): string {
  return CANARY_PREFIX + id;
}

/** Of what is written and read once right after a cutover. */
export const VALIDATION_PREFIX = 'ferry:validation:';

/** A new one each time. */
export function validationKey(): string {
  return VALIDATION_PREFIX + randomBytes(12).toString('hex');
}

/** Values that arrive in pieces, the ledger of a target's own keys (ledger.ts), the canary's entries, and what validates. */
export function isOurs(key: Buffer): boolean {
  return (
    key.length >= 11 &&
    key[0] === 102 &&
    /^ferry:((part|canary|validation):[0-9a-f]{24}|own-keys(:listing)?)$/.test(key.toString('latin1'))
  );
}

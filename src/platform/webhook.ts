/** Sends a JSON POST. */
import { FerryError } from '../errors.js';
import type { WebhookSpec } from '../inputs/refs.js';

/** Anything but 2xx is WebhookFailed; so is a redirection. `where` is the field of the input. */
export async function post(input: {
  spec: WebhookSpec;
  where: string;
  body: unknown;
  signal?: AbortSignal;
}): Promise<{ status: number; seconds: number }> {
  throw new FerryError('WebhookFailed', input.where);
}

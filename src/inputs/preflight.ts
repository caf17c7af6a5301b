/** Input of `preflight`: a strategy with its input, which it parses itself. */
import { z } from 'zod';
import { STRATEGIES, type Strategy } from '../contract.js';
import { WebhookSpec } from './refs.js';

export const PreflightInput = z.strictObject({
  strategy: z.enum(Object.keys(STRATEGIES) as [Strategy, ...Strategy[]]),
  input: z.looseObject({
    name: z.string().min(1),
    notify: WebhookSpec.optional(),
    contact: z.string().optional(),
  }),
});
export type PreflightInput = z.input<typeof PreflightInput>;

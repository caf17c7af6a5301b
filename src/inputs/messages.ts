/** What people may say to a running upgrade, parsed like every other input. */
import { z } from 'zod';
import type { MessageName, Messages } from '../contract.js';
import { Instant, MaintenanceWindow } from './common.js';
import { Delay, LagLimit, PauseCap } from './limits.js';
import { Rate } from './redis-copy.js';

const by = z.string().trim().min(1, 'must say who speaks');
const note = z.string().optional();
const say = z.strictObject({ by, note });
const answer = z.strictObject({ gate: z.string().min(1), by, note, planHash: z.string().optional() });

export const MESSAGE_SCHEMAS = {
  approve: answer,
  reject: answer,
  decide: z.strictObject({
    choice: z.enum(['retry', 'skip', 'continue', 'rollback', 'rollbackLosingWrites', 'stop']),
    by,
    note,
  }),
  waive: z.strictObject({ check: z.string().min(1), by, note }),
  tick: z.strictObject({ item: z.string().min(1), by }),
  skip: say.extend({ target: z.string().min(1).optional() }),
  retry: say,
  pause: say,
  resume: say,
  rollback: say.extend({ acceptLoss: z.boolean().optional() }),
  abort: say.extend({ leaveAsIs: z.boolean().optional() }),
  adjust: z
    .strictObject({
      by,
      note,
      rate: Rate.optional(),
      window: MaintenanceWindow.optional(),
      maxPause: PauseCap.optional(),
      maxLag: LagLimit.optional(),
    })
    .refine(
      ({ rate, window, maxPause, maxLag }) =>
        [rate, window, maxPause, maxLag].some((value) => value !== undefined),
      { error: 'changes nothing: give `rate`, `window`, `maxPause` or `maxLag`' },
    ),
  postpone: z
    .strictObject({ by, note, until: Instant.optional(), for: Delay.optional() })
    .refine((postpone) => (postpone.until === undefined) !== (postpone.for === undefined), {
      error: 'must hold either `until` or `for`',
    }),
  withdraw: z.strictObject({ gate: z.string().min(1), by, note }),
} as const satisfies { [Name in MessageName]: z.ZodType };

/** The parsed message, or a sentence that says what is wrong with it. */
export function parseMessage<Name extends MessageName>(
  name: Name,
  raw: unknown,
): { message: Messages[Name] } | { problem: string } {
  const parsed = MESSAGE_SCHEMAS[name].safeParse(raw, { reportInput: true });
  // zod's optional fields may be present as undefined; the contract's may not, and nothing here tells the two apart.
  if (parsed.success) return { message: parsed.data as Messages[Name] };
  return { problem: sentences(parsed.error) };
}

/** One sentence for each thing that is wrong, each naming its field. */
export function sentences(error: z.ZodError): string {
  return error.issues.map((issue) => problemOf(issue)).join('; ');
}

function problemOf(issue: z.core.$ZodIssue): string {
  const field = issue.path.length > 0 ? issue.path.join('.') : 'the input';
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => `\`${[...issue.path, key].join('.')}\``).join(', ');
    return `${keys} is not a known field`;
  }
  // Only where the input is reported with the issues: without it everything would seem to be missing.
  if (issue.code !== 'custom' && 'input' in issue && issue.input === undefined)
    return `\`${field}\` is missing`;
  if (issue.code === 'invalid_union') return `\`${field}\` ${closest(issue)}`;
  if (issue.code === 'invalid_key')
    return `\`${field}\` ${issue.issues.map((inner) => inner.message).join('; ')}`;
  return `\`${field}\` ${issue.message.charAt(0).toLowerCase()}${issue.message.slice(1)}`;
}

/** Of a union's alternatives, the complaint of the one that came closest: of the right type, or with the fewest issues. */
function closest(issue: z.core.$ZodIssueInvalidUnion): string {
  const alternatives = [...issue.errors].filter((issues) => issues.length > 0);
  const right = alternatives.filter(
    (issues) => !issues.some((inner) => inner.path.length === 0 && inner.code === 'invalid_type'),
  );
  const best = (right.length > 0 ? right : alternatives).sort((a, b) => a.length - b.length)[0];
  if (!best) return issue.message;
  return best
    .map((inner) =>
      inner.code === 'unrecognized_keys'
        ? `has the unknown field ${inner.keys.map((key) => `\`${key}\``).join(', ')}`
        : inner.path.length > 0
          ? problemOf(inner)
          : inner.message,
    )
    .join('; ');
}

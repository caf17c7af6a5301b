/** What is measured of the serving server, and the criteria by which an upgrade goes back by itself. */
import { z } from 'zod';
import { Duration, milliseconds } from './refs.js';

/** Everything that is measured before and after a cutover. Times in ms, sizes in bytes, `hitRate` from 0 to 1. */
export const METRICS = [
  'latencyP50Ms',
  'latencyP95Ms',
  'latencyP99Ms',
  'opsPerSecond',
  'memoryBytes',
  'memoryRssBytes',
  'lagBytes',
  'connections',
  'hitRate',
  'errorsPerSecond',
] as const;
export type Metric = (typeof METRICS)[number];

const Bound = z
  .union(
    [
      z.number().nonnegative(),
      z.strictObject({
        timesBefore: z
          .number()
          .positive()
          .meta({ description: 'Times what was measured before the cutover' }),
      }),
    ],
    { error: 'must be a number from 0 on, or {"timesBefore": 3} for three times what it was before' },
  )
  .meta({
    description: 'A number, or `{"timesBefore": 3}`: three times what was measured before the cutover',
  });

export const RollbackCriterion = z
  .strictObject({
    metric: z.enum(METRICS).meta({ description: 'What is measured, once a second' }),
    above: Bound.optional(),
    below: Bound.optional(),
    for: Duration.meta({ description: 'For how long it has to hold without interruption' }),
  })
  .superRefine((criterion, context) => {
    const issue = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message });
    const { metric, above, below } = criterion;
    if (above === undefined && below === undefined) issue('above', 'is missing: give `above` or `below`');
    if (above !== undefined && below !== undefined)
      issue('below', 'stands beside `above`: make two criteria of it');
    for (const [name, bound] of Object.entries({ above, below }))
      if (metric === 'hitRate' && typeof bound === 'number' && bound > 1)
        issue(name, 'is more than 1: a hit rate is a share from 0 to 1');
    if (below === 0) issue('below', 'is 0, and nothing is below that');
    if (milliseconds(criterion.for) < 1_000) issue('for', 'is less than 1s: it is measured once a second');
  });
export type RollbackCriterion = z.infer<typeof RollbackCriterion>;

/** Room for as many as a person oversees, and for what a checkpoint can hold of them. */
export const RollbackWhen = z
  .array(RollbackCriterion)
  .max(10)
  .superRefine((criteria, context) => {
    const names = criteria.map(criterionName);
    for (const [index, name] of names.entries())
      if (names.indexOf(name) < index)
        context.addIssue({ code: 'custom', path: [index], message: `is there twice (${name})` });
  });

/** `latencyP99Ms above 10 for 30s`. */
export function criterionName({ metric, above, below, for: held }: RollbackCriterion): string {
  const bound = above ?? below ?? 0;
  const than = typeof bound === 'number' ? String(bound) : `${bound.timesBefore} times what it was before`;
  return `${metric} ${above === undefined ? 'below' : 'above'} ${than} for ${held.trim()}`;
}

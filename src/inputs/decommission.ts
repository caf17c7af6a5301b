/** What becomes of the old server once nobody can go back to it. */
import { z } from 'zod';
import { CommandSpec } from './refs.js';

export const Decommission = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('shutdown') }),
    CommandSpec.extend({ kind: z.literal('command') }),
  ])
  .optional()
  .meta({
    description:
      'Takes the old server out of service at the very end, behind a gate of its own and the proof that nobody uses it: {"kind": "shutdown"} (SHUTDOWN SAVE), or a command of yours, which gets FERRY_HOST and FERRY_PORT. Default: it stays as it is',
    examples: [{ kind: 'shutdown' }],
  });
export type Decommission = NonNullable<z.output<typeof Decommission>>;

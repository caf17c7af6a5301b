/**
 * rehearsal: an upgrade goes forward through its cutover on a staging target, back, and forward to its end; how long each step takes is
 * what the real one is planned with. Its runbook for people is docs/runbooks/rehearsal.md, with the same headings.
 */
import type { Receipt } from '../contract.js';
import { RehearsalInput } from '../inputs/rehearsal.js';
import { acts, reads } from '../runbook/acts.js';
import { estimatesOf } from '../runbook/rehearsed.js';
import { runbook } from '../runbook/runbook.js';
import { mustBeWell, rehearse } from './rehearsal-pass.js';
import * as say from './rehearsal-words.js';

export async function rehearsal(raw: unknown): Promise<Receipt> {
  return runbook('rehearsal', RehearsalInput, raw, async (input, r) => {
    const { strategy, complete } = input;
    const rows = r.fleet(say.rowsOf(input));
    const staging = await r.step('Gather information', {
      read: () => acts(reads, 'Look at the staging target').lookAtStaging({ strategy, input: input.input }),
    });
    await r.checks('Pre-flight', async () => say.checks(input, staging));
    await r.gate('start', say.startQuestion(input));
    r.wayBack({ takes: 'as long as the upgrade of the staging target needs for it' });

    const undo = { none: 'the upgrade of the staging target is asked to go back while it runs' };
    const forth = await r.step('There and back', {
      does: say.thereSays(input),
      foresee: null,
      undo,
      do: () => rehearse(r, { row: rows[0], input, back: true }),
      note: (pass) => (pass ? say.outcomeOf(pass) : ''),
    });
    if (forth) await mustBeWell(r, 'There and back', forth);

    let whole = null;
    // Where there was no way back it went to its end at once.
    if (complete && !forth?.noWayBack)
      whole = await r.step('To the end', {
        does: say.endSays(input),
        foresee: null,
        undo,
        do: () => rehearse(r, { row: rows[1], input, back: false }),
        note: (pass) => (pass ? say.outcomeOf(pass) : ''),
      });
    if (whole) await mustBeWell(r, 'To the end', whole);
    if (!forth) return;
    const { receipt, cutover, backMs } = forth;
    r.record({
      estimates: estimatesOf({
        rehearsal: input.name,
        forth: receipt,
        whole: whole?.receipt ?? null,
        cutover,
        backMs,
      }),
    });
  });
}

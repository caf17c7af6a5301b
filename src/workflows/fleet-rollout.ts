/**
 * fleetRollout: upgrades many targets wave by wave. Each is an upgrade of its own, with its own way back; the fleet begins them, so many
 * at a time, and begins no other one once one is not well. Its runbook for people is docs/runbooks/fleet-rollout.md, with the same headings.
 */
import { sleep } from '@temporalio/workflow';
import type { Receipt } from '../contract.js';
import { FleetRolloutInput, wavesOf, type FleetRolloutSettings } from '../inputs/fleet-rollout.js';
import { milliseconds } from '../inputs/refs.js';
import { acts, reads } from '../runbook/acts.js';
import type { Carried, Runbook } from '../runbook/api.js';
import { runbook } from '../runbook/runbook.js';
import * as say from './fleet-rollout-words.js';
import { leavingOut, rollWave } from './fleet-targets.js';
import { probed } from './probes.js';

export async function fleetRollout(raw: unknown, carried?: Carried): Promise<Receipt> {
  const body = async (input: FleetRolloutSettings, r: Runbook): Promise<void> => {
    const waves = wavesOf(input);
    const rows = r.fleet(say.rowsOf(waves));
    r.onLeaveOut(leavingOut(rows));
    if (!r.wentOn) {
      const last = await r.step('Gather information', {
        read: () => acts(reads, 'Look what each target is at').lookAtTargets({ waves }),
        note: () => say.sizeOf(waves),
      });
      await r.checks('Pre-flight', async () => say.checks(rows, { last, input }));
      if (input.skipDone) say.leaveOutDone(rows, last);
      await r.gate('start', say.startQuestion(waves, input));
    }
    for (const [at, wave] of waves.entries()) {
      const own = rows.filter((row) => row.wave === wave.name);
      const title = `Wave ${wave.name}`;
      // Of a run before this one.
      if (r.wentOn && say.isOver(own)) continue;
      if (at > 0) await r.gate(wave.name, say.waveQuestion(wave, { rows, before: waves[at - 1] }));
      await r.step(title, {
        does: say.waveSays(wave),
        foresee: undefined,
        undo: { none: 'every target has a way back of its own, as long as that is open' },
        do: () => rollWave(r, { wave, rows: own, stopOn: input.stopOn }),
        note: () => say.outcomeOf(own),
      });
      for (const flaw of say.flaws(own)) r.blemish(flaw);
      r.wayBack({ takes: say.backTakes(rows) });
      const soakMs = milliseconds(wave.soak);
      if (soakMs > 0)
        await r.step(`Soak after ${wave.name}`, {
          does: [`wait ${wave.soak}`],
          foresee: undefined,
          read: () => sleep(soakMs, { summary: `Soak after wave ${wave.name}` }),
        });
      if (input.probes.length > 0)
        await r.checks(`Test the application after ${wave.name}`, () => probed(input));
      if (at < waves.length - 1) await r.goOnAsNew();
    }
  };
  return runbook('fleetRollout', FleetRolloutInput, raw, body, carried);
}

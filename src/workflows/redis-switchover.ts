/**
 * redisSwitchover: a new server follows the old one and takes over from it; the old one then follows the new one, so that going
 * back loses nothing. Its runbook for people is docs/runbooks/redis-switchover.md, with the same headings.
 */
import type { Receipt } from '../contract.js';
import type { Use } from '../activities/decommissioning.js';
import { milliseconds } from '../inputs/refs.js';
import { RedisSwitchoverInput } from '../inputs/redis-switchover.js';
import { acts, changes, looks, moves, reads } from '../runbook/acts.js';
import { runbook } from '../runbook/runbook.js';
import { FINISH } from '../runbook/undo.js';
import { backing } from './backup-step.js';
import { soaking } from './redis-switchover-soak.js';
import * as say from './redis-switchover-words.js';
import { switchoverSteps } from './switchover-steps.js';

export async function redisSwitchover(raw: unknown): Promise<Receipt> {
  return runbook('redisSwitchover', RedisSwitchoverInput, raw, async (input, r) => {
    const facts = await r.step('Gather information', {
      read: () => acts(looks, 'Ask both servers').describeCouple({ settings: input }),
    });
    const { source, target } = facts;
    const { backup } = input;
    await r.lock([...source.resolved, ...target.resolved].map((address) => `redis/${address}`));
    r.record({ servers: say.servers(facts), way: { chosen: 'replication' }, clients: say.clients(facts) });
    await r.checks('Pre-flight', async () => [
      ...(await acts(reads, 'Pre-flight checklist').preflightCouple({ settings: input, facts })),
      ...(await acts(reads, 'Room for the backups').preflightBackup({ source: input.source, backup })),
    ]);

    // ---- Before anything is changed.
    const backUp = backing(r, { backup, about: source.usedMemory });
    await backUp('Back up the old server', { endpoint: input.source, side: 'source', shown: source.shown });

    // ---- The new server follows. Applications go on as they are.
    r.wayBack({ takes: 'seconds; the applications notice nothing' });
    const steps = switchoverSteps(r, { input, facts });
    const followed = await r.step('Replicate', steps.replicate());
    if (followed) r.record({ replication: say.followed(followed) });
    const compared = await r.step('Compare both sides', steps.compare());
    if (compared) r.record({ comparison: say.comparison(compared) });
    const before = await r.step('Measure the old server', steps.measure());
    for (const doubt of before?.doubts ?? []) r.warn(`rollbackWhen: ${doubt}`);

    // ---- The cutover.
    await r.gate(
      'cutover',
      `Switch the applications over to ${target.shown}?`,
      steps.again('Switch the applications over'),
    );
    await r.window('Maintenance window', milliseconds(input.maxPause) + 30_000);
    const switched = await r.step('Switch the applications over', steps.switchOver());
    const cutoverAt = Date.now();
    steps.switched(switched);

    // ---- Afterwards, with the way back open.
    await r.checks('Validate', () => steps.validate({ before, cutoverAt }));
    // Before the soak: the snapshot counts as a full sync of the new server, by which the soak tells that the way back is broken.
    await backUp('Back up the new server', { endpoint: input.target, side: 'target', shown: target.shown });
    const soak = soaking(r, { input, couple: steps.couple(), before, cutoverAt, target });
    // Again only for a criterion that a person has judged: at most once for each.
    do await r.checks('Soak', soak.watch, soak.says);
    while (soak.goesOn());

    const finish = steps.finish();
    await r.gate(
      'commit',
      `Close the way back? ${source.shown} stops following, and can not take over again.`,
    );
    await r.pointOfNoReturn('Point of no return', 'the way back is closed from here on', finish);
    const closed = await r.step('Close the way back', {
      does: [finish.says, 'put the settings back that were changed for the replication'],
      foresee: null,
      undo: { none: 'the upgrade is complete' },
      do: async () => {
        await steps.close();
        return input.decommission
          ? acts(reads, 'Remember how the old server is used').lookAtUse({ server: input.source })
          : null;
      },
    });
    r.wayBack({
      possible: false,
      loses: 'The upgrade is complete; go back with another redisSwitchover or redisCopy.',
    });

    // ---- The old server itself, only where the input asks for it.
    const how = input.decommission;
    if (!how) return;
    // Nothing is left to undo, nor to clean up: whoever recovers a terminated upgrade from here on must not touch either server.
    await r.keep(FINISH, null);
    let seen: Use | null = closed;
    await r.checks('Nobody uses the old server', async () => {
      if (!closed) throw new Error('how it was used is known once the way back is closed');
      const { checks, now } = await acts(reads, 'Who uses the old server').proveUnused({
        server: input.source,
        since: closed,
      });
      seen = now;
      return checks;
    });
    if (!(await r.gate('decommission', say.decommissionQuestion(source, how), { optional: true }))) return;
    const gone = await r.step('Decommission the old server', {
      does: say.decommissionDoes(source, how),
      foresee: null,
      undo: { none: 'the old server is out of service; its file and the backup hold what it held' },
      skippable: true,
      do: async () => {
        if (!seen) throw new Error('nobody has looked who uses it');
        return acts({ ...moves, retry: { ...changes.retry } }, 'Decommission the old server').decommission({
          server: input.source,
          how,
          seen,
          name: input.name,
          step: 'Decommission the old server',
        });
      },
      note: (result) => (result ? `it is gone after ${result.seconds} s` : ''),
    });
    if (gone) r.record({ decommission: say.decommissioned(gone) });
    if (gone?.warning) r.warn(gone.warning);
  });
}

/**
 * A pre-flight by itself, for schedules: makes the plan of an upgrade under an ID of its own, so that it is neither taken for the
 * upgrade nor stands in its way. Fails where the upgrade would not get far, and tells who is to be notified.
 */
import {
  executeChild,
  isCancellation,
  log,
  ParentClosePolicy,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { phaseSignal, workflowIdOf, type Preflight, type Receipt } from '../contract.js';
import { sentences } from '../inputs/messages.js';
import { PreflightInput } from '../inputs/preflight.js';
import { acts, reads } from '../runbook/acts.js';
import { ending, problemOf } from '../runbook/failure.js';

export async function preflight(raw: unknown): Promise<Preflight> {
  const parsed = PreflightInput.safeParse(raw, { reportInput: true });
  if (!parsed.success)
    throw ending('InvalidInput', `The input of preflight can't be used: ${sentences(parsed.error)}.`);
  const { strategy, input } = parsed.data;
  const { name, notify: webhook, contact } = input;
  const { workflowId } = workflowInfo();
  const upgrade = workflowIdOf(strategy, name);
  // The plan says how far it is; nobody needs to know here.
  setHandler(phaseSignal, () => {});

  if (await acts(reads, 'Is it being upgraded?').isUpgrading({ workflowId: upgrade }))
    return {
      strategy,
      name,
      outcome: 'Skipped',
      reason: `${upgrade} runs: it looks for itself`,
      planHash: '',
    };
  try {
    // What goes well is no news, and nothing is announced that nobody has started.
    const { notify: _, notices: __, ...rest } = input;
    const { checks, planHash } = (await executeChild(strategy, {
      workflowId: `${workflowId}/plan`,
      args: [{ ...rest, dryRun: true }],
      parentClosePolicy: ParentClosePolicy.TERMINATE,
      staticSummary: `Plan of ${upgrade}, which changes nothing`,
    })) as Receipt;
    const failed = checks.filter(({ status }) => status === 'fail');
    if (failed.length > 0)
      throw ending(
        'PreflightFailed',
        failed.map((check) => `${check.name}: ${check.actual}, expected ${check.expected}.`).join(' '),
      );
    const warned = checks.filter(({ status }) => status === 'warn').map((check) => check.name);
    return {
      strategy,
      name,
      outcome: 'Passed',
      reason: warned.length > 0 ? `warned: ${warned.join(', ')}` : `${checks.length} checks passed`,
      planHash,
    };
  } catch (error) {
    if (isCancellation(error)) throw error;
    const { type, message } = problemOf(error);
    if (webhook)
      await acts({ ...reads, startToCloseTimeout: '2m' }, 'Notify: PreflightFailed')
        .notify({
          webhook,
          name,
          strategy,
          workflowId,
          phase: 'PreflightFailed',
          reason: message,
          question: null,
          choices: [],
          impact: [],
          breakGlass: [],
          ...(contact === undefined ? {} : { contact }),
        })
        .catch((undelivered: unknown) => log.warn('not delivered', { why: problemOf(undelivered).message }));
    throw ending(type, message);
  }
}

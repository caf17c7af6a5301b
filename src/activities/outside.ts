/** What is done outside of Redis: commands, webhooks, the application's own tests. */
import type { Action, Probe } from '../inputs/refs.js';
import { runCommand } from '../platform/command.js';
import { notify as send } from '../platform/notify.js';
import { runProbe, type ProbeResult } from '../platform/probe.js';
import { post } from '../platform/webhook.js';
import type { WebhookSpec } from '../inputs/refs.js';
import type { UndoResult } from '../contract.js';
import { border } from './border.js';

/** Runs a command or calls a webhook; `event` is told to both. */
export async function runAction(input: {
  action: Action;
  label: string;
  event: string;
  name: string;
}): Promise<UndoResult> {
  return border(async (b) => {
    const { action, label, event, name } = input;
    if ('webhook' in action)
      await post({ spec: action, where: label, body: { event, name }, signal: b.signal });
    else await runCommand({ label, spec: action, name, step: event, signal: b.signal });
    return {};
  });
}

export async function runProbes(input: { probes: Probe[]; name: string }): Promise<ProbeResult[]> {
  return border(async (b) => {
    const results: ProbeResult[] = [];
    for (const [index, probe] of input.probes.entries())
      results.push(await runProbe({ probe, index, name: input.name, signal: b.signal }));
    return results;
  });
}

export interface Notice {
  webhook: WebhookSpec;
  name: string;
  strategy: string;
  workflowId: string;
  phase: string;
  reason: string;
  question: { gate: string; question: string } | null;
  choices: string[];
  impact: string[];
  breakGlass: string[];
  contact?: string;
}

export async function notify(notice: Notice): Promise<void> {
  return border(async (b) => {
    const { webhook, name, workflowId, phase, reason, question, choices, impact, breakGlass, contact } =
      notice;
    const toType = question
      ? `ferry approve ${workflowId} ${question.gate}`
      : choices.length > 0
        ? choices.map((choice) => `ferry decide ${workflowId} ${choice}`).join('\n')
        : undefined;
    const affected = impact.length > 0 ? ` Users are affected: ${impact.join('; ')}.` : '';
    await send({
      spec: webhook,
      notification: {
        name,
        phase,
        reason: `${reason}${affected}`,
        toType,
        breakGlass,
        link: uiLink(workflowId),
        contact,
      },
      signal: b.signal,
    });
  });
}

/** FERRY_UI_URL is where people reach the Temporal UI, if the worker was told. */
function uiLink(workflowId: string): string | undefined {
  const base = process.env['FERRY_UI_URL'];
  return base
    ? `${base.replace(/\/$/, '')}/namespaces/${process.env['TEMPORAL_NAMESPACE'] ?? 'default'}/workflows/${encodeURIComponent(workflowId)}`
    : undefined;
}

/** Tells people: a Slack-compatible message. */
import type { WebhookSpec } from '../inputs/refs.js';
import { redact } from './redact.js';
import { post } from './webhook.js';

export interface Notification {
  name: string;
  phase: string;
  reason: string;
  /** The command that goes on from here. */
  toType?: string | undefined;
  breakGlass?: readonly string[] | undefined;
  /** Address of the workflow in the Temporal UI. */
  link?: string | undefined;
  contact?: string | undefined;
}

export interface SlackMessage {
  text: string;
  blocks: Record<string, unknown>[];
}

/** Slack refuses a section of more than 3,000 characters. */
const LONGEST = 2_900;

export function slackMessage(notification: Notification): SlackMessage {
  const { name, phase, reason, toType, breakGlass = [], link, contact } = notification;
  const title = `${name}: ${words(phase)}`;
  const code = (lines: string): string => '```\n' + escaped(lines).slice(0, LONGEST - 200) + '\n```';
  const footer = [link ? `<${link}|Open in Temporal>` : '', contact ? `Contact: ${escaped(contact)}` : '']
    .filter(Boolean)
    .join('  ·  ');
  return {
    text: escaped(redact(reason ? `${title}. ${reason}` : title)),
    blocks: [
      section(redact(`*${escaped(title)}*${reason ? `\n${escaped(reason)}` : ''}`)),
      ...(toType ? [section(redact(`Next:\n${code(toType)}`))] : []),
      ...(breakGlass.length > 0
        ? [section(redact(`By hand, without Redis Ferry:\n${code(breakGlass.join('\n'))}`))]
        : []),
      ...(footer ? [{ type: 'context', elements: [{ type: 'mrkdwn', text: redact(footer) }] }] : []),
    ],
  };
}

/** @throws FerryError WebhookFailed */
export async function notify(input: {
  spec: WebhookSpec;
  notification: Notification;
  signal?: AbortSignal | undefined;
}): Promise<void> {
  const { spec, notification, signal } = input;
  await post({ spec, where: 'notify', body: slackMessage(notification), signal });
}

/** `NeedsDecision` → `needs decision`. */
function words(phase: string): string {
  return phase.replaceAll(/([a-z])([A-Z])/g, '$1 $2').toLowerCase();
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function section(text: string): Record<string, unknown> {
  return {
    type: 'section',
    text: { type: 'mrkdwn', text: text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text },
  };
}

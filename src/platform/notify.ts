/** Tells people: a Slack-compatible message. */
import type { WebhookSpec } from '../inputs/refs.js';
import { post } from './webhook.js';

export interface Notification {
  name: string;
  phase: string;
  reason: string;
  /** What to type next. */
  type?: string;
  breakGlass?: readonly string[];
  /** Address of the workflow in the Temporal UI. */
  link?: string;
  contact?: string;
}
export interface SlackMessage {
  text: string;
  blocks: Record<string, unknown>[];
}
export function slackMessage(notification: Notification): SlackMessage {
  return { text: notification.name, blocks: [] };
}
export async function notify(input: {
  spec: WebhookSpec;
  notification: Notification;
  signal?: AbortSignal;
}): Promise<void> {
  await post({ spec: input.spec, where: 'notify', body: slackMessage(input.notification) });
}

/** Telling the applications where their Redis is: one file for each way. */
import type { Repoint } from '../inputs/repoint.js';
import { byHandCommand, describeCommand, repointCommand } from './command.js';
import { byHandHaproxy, describeHaproxy, repointHaproxy } from './haproxy.js';
import { byHandFile, describeFile, finishFile, repointFile } from './file.js';
import type { ByHandInput, Direction, RepointInput, Serving } from './types.js';
import { byHandWebhook, describeWebhook, repointWebhook } from './webhook.js';

export type { Direction, RepointInput, Serving };

/** Safe to repeat at any point, also after a crash. Returns what was done, in words. @throws FerryError */
export async function repoint(input: RepointInput): Promise<string> {
  const { spec } = input;
  switch (spec.kind) {
    case 'file':
      return repointFile({ ...input, spec });
    case 'command':
      return repointCommand({ ...input, spec });
    case 'haproxy':
      return repointHaproxy({ ...input, spec });
    default:
      return repointWebhook({ ...input, spec });
  }
}

/** When there is no going back any more: removes what was kept for it. */
export async function finishRepoint({ spec }: { spec: Repoint }): Promise<void> {
  if (spec.kind === 'file') await finishFile(spec);
}

/** Sentences for the plan. */
export function describeRepoint(spec: Repoint): string[] {
  switch (spec.kind) {
    case 'file':
      return describeFile(spec);
    case 'command':
      return describeCommand(spec);
    case 'haproxy':
      return describeHaproxy(spec);
    default:
      return describeWebhook(spec);
  }
}

/** Lines for a shell that repoint without Redis Ferry. `endpoint` is where the serving side's URL is kept. */
export function repointByHand(input: ByHandInput): string[] {
  const { spec } = input;
  switch (spec.kind) {
    case 'file':
      return byHandFile({ ...input, spec });
    case 'command':
      return byHandCommand({ ...input, spec });
    case 'haproxy':
      return byHandHaproxy({ ...input, spec });
    default:
      return byHandWebhook({ ...input, spec });
  }
}

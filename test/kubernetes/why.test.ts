import { expect, test } from 'vitest';
import { findInLog } from '../../src/kubernetes/why.js';

const LOGS = {
  'RDB version': `1:M 01 Mar 2026 02:00:00.000 * Running mode=standalone, port=6379.
1:M 01 Mar 2026 02:00:00.001 # Can't handle RDB format version 12
1:M 01 Mar 2026 02:00:00.001 # Fatal error loading the DB, check server logs. Exiting.`,
  AOF: `1:M 01 Mar 2026 02:00:00.000 # Bad file format reading the append only file appendonly.aof.1.incr.aof: make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>`,
  Configuration: `*** FATAL CONFIG FILE ERROR (Redis 8.0.2) ***
Reading the configuration file, at line 12
>>> 'slave-nonsense yes'
Bad directive or wrong number of arguments`,
  Disk: `1:M 01 Mar 2026 02:00:00.000 # Write error saving DB on disk: No space left on device`,
};

test.each(Object.entries(LOGS))('%s is found in the log of a server that ended', (what, log) => {
  const found = findInLog(log);
  expect(found.map((each) => each.what)).toContain(what);
  const [first] = found;
  expect(first?.evidence.length).toBeGreaterThan(0);
  expect(first?.lasting).toBe(true);
});

test('a directive that is refused is named, and no password is shown', () => {
  const [found] = findInLog(LOGS.Configuration);
  expect(found?.evidence).toContain(">>> 'slave-nonsense yes'");
  const [secret] = findInLog(LOGS.Configuration.replace('slave-nonsense yes', 'requirepass a s3cret'));
  expect(secret?.evidence).toContain(">>> 'requirepass …'");
});

test("a directive that an 8.0 takes for a module's is named", () => {
  const [found] = findInLog(`1:M 01 Mar 2026 02:00:00.000 # Unresolved Configuration(s) Detected:
1:M 01 Mar 2026 02:00:00.000 # >>> 'no-such-directive yes'
1:M 01 Mar 2026 02:00:00.000 # Module Configuration detected without loadmodule directive or no ApplyConfig call: aborting`);
  expect(found?.what).toBe('Configuration');
  expect(found?.evidence.join()).toContain('no-such-directive');
});

test('no advice deletes data, truncates it or makes a second primary', () => {
  const advice = Object.values(LOGS)
    .flatMap(findInLog)
    .map(({ next }) => next)
    .join('\n');
  expect(advice).not.toMatch(/\brm\b|NO ONE|allkeys/);
  expect(advice).toContain('Do not delete the file');
  expect(advice).toContain('without --fix');
});

test('a log without trouble says nothing', () => {
  expect(findInLog('1:M 01 Mar 2026 02:00:00.000 * Ready to accept connections tcp')).toEqual([]);
});

import { findBrowser, type FoundBrowser } from './browser.js';
import { cacheFolder, type Say } from './cache.js';
import { ALL_REDIS, findRedis, findRedisPair, type FoundRedis } from './redis.js';
import { findHaproxy, type FoundHaproxy } from './haproxy.js';
import { HEROKU } from './heroku.js';
import { findPostgres, type FoundPostgres } from './postgres.js';
import { findCli, type FoundCli } from './provider-cli.js';
import { findS3, type FoundS3 } from './s3.js';
import { findTemporal, type FoundTemporal } from './temporal.js';

export const PURPOSES = ['demo', 'test', 'sweep'] as const;
export type Purpose = (typeof PURPOSES)[number];

export type Tools = {
  temporal: FoundTemporal;
  redis: FoundRedis[];
  /** For the tests of the Temporal UI; null where there is none, or nobody needs it. */
  browser: FoundBrowser | null;
  /** For the tests of the switchover; null as above. */
  haproxy: FoundHaproxy | null;
  /** For the tests of what goes through the Heroku CLI; null as above. */
  heroku: FoundCli | null;
  /** For the tests of moves of PostgreSQL, oldest first; none as above. */
  postgres: FoundPostgres[];
  /** For the tests of buckets; null as above. */
  s3: FoundS3 | null;
};

/** What the tests are run against: each line of Redis and Valkey that somebody may have to leave or go to. */
const SAMPLE = ALL_REDIS.filter((name) => name !== 'r82');

/** Everything a purpose needs, found or fetched. For the demo, the two servers of a pair in their order. */
export async function findTools(purpose: Purpose, say: Say, cache: string = cacheFolder()): Promise<Tools> {
  const redis = async (): Promise<FoundRedis[]> => {
    if (purpose !== 'demo') return findRedis(purpose === 'test' ? SAMPLE : ALL_REDIS, say, cache);
    const { from, to } = await findRedisPair(say, cache);
    return [from, to];
  };
  const browser = purpose === 'test' ? findBrowser(say, cache) : Promise.resolve(null);
  const haproxy = purpose === 'demo' ? Promise.resolve(null) : findHaproxy(say, cache);
  const heroku = purpose === 'demo' ? Promise.resolve(null) : findCli(HEROKU, say, cache);
  const postgres = purpose === 'demo' ? Promise.resolve([]) : findPostgres(say, cache);
  const s3 = purpose === 'demo' ? Promise.resolve(null) : findS3(say, cache);
  // Side by side, as both mostly wait for downloads; and both are heard out, so that one run names all that is missing.
  const [temporal, servers] = await Promise.allSettled([
    findTemporal(say, cache),
    redis(),
    browser,
    haproxy,
    heroku,
    postgres,
    s3,
  ]);
  if (temporal.status === 'fulfilled' && servers.status === 'fulfilled') {
    return {
      temporal: temporal.value,
      redis: servers.value,
      browser: await browser,
      haproxy: await haproxy,
      heroku: await heroku,
      postgres: await postgres,
      s3: await s3,
    };
  }
  const reasons = [temporal, servers].flatMap((each) =>
    each.status === 'rejected' ? [each.reason as Error] : [],
  );
  throw new Error(reasons.map((reason) => reason.message).join('\n'));
}

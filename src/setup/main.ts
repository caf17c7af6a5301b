#!/usr/bin/env node
/* `node dist/setup/main.js [--demo|--test|--sweep]`: finds or fetches the servers, and says which. */
import { cacheFolder } from './cache.js';
import { findTools, PURPOSES, type Tools } from './tools.js';

const flag = process.argv[2] ?? '--demo';
const purpose = PURPOSES.find((each) => flag === `--${each}`);

if (purpose === undefined) {
  console.error(`${flag} is unknown: give one of ${PURPOSES.map((each) => `--${each}`).join(', ')}.`);
  process.exitCode = 2;
} else {
  try {
    print(await findTools(purpose, (line) => console.error(line)));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

function print({ temporal, redis, browser, haproxy, heroku, postgres, s3 }: Tools): void {
  const rows =
    temporal.kind === 'server'
      ? [['temporal', '', temporal.address]]
      : [['temporal', temporal.version, temporal.from]];
  for (const { name, product, version, tls, from } of redis) {
    rows.push([name, `${product} ${version}${tls ? ' +tls' : ''}`, from]);
  }
  if (browser) rows.push(['browser', browser.version, browser.from]);
  if (haproxy) rows.push(['haproxy', haproxy.version, haproxy.from]);
  if (heroku) rows.push(['heroku', heroku.version, heroku.from]);
  for (const { major, version, from } of postgres) rows.push([`pg${major}`, `PostgreSQL ${version}`, from]);
  if (s3) rows.push(['s3', `Moto ${s3.version}`, s3.from]);
  for (const [name = '', version = '', from = ''] of rows)
    console.log(`${name.padEnd(9)} ${version.padEnd(19)} ${from}`);
  console.log(`cache: ${cacheFolder()}`);
}

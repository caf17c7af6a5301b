/* A process that hands over and kills or stops itself just before or just after its n-th command; see killed.ts. */
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import { Redis } from 'ioredis';

const { options, dist, portFile, toldFile, currentFile, die } = JSON.parse(process.argv[2]);
let commands = 0;
const send = Redis.prototype.sendCommand;
Redis.prototype.sendCommand = function (...args) {
  commands += 1;
  const now = commands === die.command;
  if (now && die.when === 'before') process.kill(process.pid, die.by);
  const sent = send.apply(this, args);
  if (now && die.when === 'after') process.kill(process.pid, die.by);
  return sent;
};

const { handOver } = await import(pathToFileURL(resolve(dist, 'redis/replication/handover.js')).href);
await handOver({
  ...options,
  signal: new AbortController().signal,
  // As Temporal answers it: no, once another attempt has begun.
  stillCurrent: async (standing) => {
    if (readFileSync(currentFile, 'utf8') !== options.name) throw new Error('another attempt has taken over');
    writeFileSync(toldFile, standing);
  },
  repoint: async () => writeFileSync(portFile, String(options.to.at.port)),
  repointBack: async () => writeFileSync(portFile, String(options.from.at.port)),
});
process.exit(0);

/* A process that hands over and kills itself with -9 just before or just after its n-th command; see killed.ts. */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import { Redis } from 'ioredis';

const { options, dist, portFile, toldFile, die } = JSON.parse(process.argv[2]);
let commands = 0;
const send = Redis.prototype.sendCommand;
Redis.prototype.sendCommand = function (...args) {
  commands += 1;
  const now = commands === die.command;
  if (now && die.when === 'before') process.kill(process.pid, 'SIGKILL');
  const sent = send.apply(this, args);
  if (now) process.kill(process.pid, 'SIGKILL');
  return sent;
};

const { handOver } = await import(pathToFileURL(resolve(dist, 'redis/replication/handover.js')).href);
await handOver({
  ...options,
  signal: new AbortController().signal,
  stillCurrent: async (standing) => writeFileSync(toldFile, standing),
  repoint: async () => writeFileSync(portFile, String(options.to.at.port)),
  repointBack: async () => writeFileSync(portFile, String(options.from.at.port)),
});
process.exit(0);

/** `npm run bench`: what is measured against what. `--help` explains. */
import { parseArgs } from 'node:util';
import { compare } from './benches/compare.js';
import { copy } from './benches/copy.js';
import { cutover } from './benches/cutover.js';
import { memory } from './benches/memory.js';
import { overhead } from './benches/overhead.js';
import { ready } from './benches/ready.js';
import { yielding } from './benches/yielding.js';
import { described } from './data.js';
import type { Result } from './measure.js';
import { inPlace, type Place } from './place.js';
import { asTable, writePage } from './report.js';

const BENCHES: Record<string, { says: string; run: (place: Place) => Promise<Result> }> = {
  copy: {
    says: 'the copy at full speed beside REPLICAOF, MIGRATE, an ioredis script, and redis-shake where it is on PATH',
    run: copy,
  },
  compare: { says: 'the comparison beside the copy, and that it sees planted differences', run: compare },
  overhead: { says: 'a whole upgrade, Temporal and all, beside the bare copy and comparison', run: overhead },
  yield: { says: "an application's p99 with and without a copy at the default rate", run: yielding },
  memory: { says: 'memory with 0.2 GB and with 2 GB of data (takes 5 GB for the servers)', run: memory },
  cutover: {
    says: 'handing over and back under writers behind HAProxy, beside the FAILOVER command',
    run: cutover,
  },
  ready: { says: 'from the start of a worker until Temporal gives it work', run: ready },
};

const HELP = `npm run bench [-- NAME … --rounds N --keys N --json --write]

Measures on real servers on this machine, alternating, and prints medians. Without a NAME: all of them.

${Object.entries(BENCHES)
  .map(([name, { says }]) => `  ${name.padEnd(9)} ${says}`)
  .join('\n')}

  --rounds N  how often each is measured (default 3)
  --keys N    strings in the data set (default 1000000); goals are meant for the default:
              ${described(1_000_000)}
  --json      one JSON object a bench on stdout, as the last line
  --write     add the results to docs/benchmarks/<date>.md
Exit code 1 when what was verified is not exact. A goal that is missed is shown, and no failure: it may be the machine's.`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '3' },
      keys: { type: 'string', default: '1000000' },
      json: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const [rounds, keys] = [Number(values.rounds), Number(values.keys)];
  const unknown = positionals.find((name) => !(name in BENCHES));
  if (unknown !== undefined || !isCount(rounds) || !isCount(keys)) {
    console.error(
      unknown === undefined ? 'Give --rounds and --keys whole numbers.' : `No bench is named ${unknown}.`,
    );
    console.error(HELP);
    return 2;
  }
  const results: Result[] = [];
  for (const [name, bench] of Object.entries(BENCHES)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    console.error(`── ${name}: ${bench.says}`);
    const result = await inPlace({ keys, rounds, say: (line) => console.error(line) }, bench.run);
    results.push(result);
    if (values.json) console.log(JSON.stringify(result));
    else console.log(asTable([result]));
  }
  if (values.write) console.error(await writePage({ results, keys }));
  return results.every(({ exact }) => exact !== false) ? 0 : 1;
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value > 0;
}

// Servers and folders go with the process; so all that Ctrl-C must do is to end it in order.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, () => process.exit(code));

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

/** The whole command line. Light: what a verb needs it imports when it runs, so that `--help` is instant. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { Cli } from './cli.js';
import { EXIT_MEANINGS } from './exit.js';
import { abort } from './verbs/abort.js';
import { adjust } from './verbs/adjust.js';
import { approve } from './verbs/approve.js';
import { codecKeys } from './verbs/codec-keys.js';
import { codecServer } from './verbs/codec-server.js';
import { decide } from './verbs/decide.js';
import { diagnose } from './verbs/diagnose.js';
import { doctor } from './verbs/doctor.js';
import { history } from './verbs/history.js';
import { list } from './verbs/list.js';
import { pause } from './verbs/pause.js';
import { plan } from './verbs/plan.js';
import { postpone } from './verbs/postpone.js';
import { receipt } from './verbs/receipt.js';
import { recover } from './verbs/recover.js';
import { reject } from './verbs/reject.js';
import { resume } from './verbs/resume.js';
import { retry } from './verbs/retry.js';
import { rollback } from './verbs/rollback.js';
import { schedule } from './verbs/schedule.js';
import { skip } from './verbs/skip.js';
import { start } from './verbs/start.js';
import { state } from './verbs/state.js';
import { tick } from './verbs/tick.js';
import { waive } from './verbs/waive.js';
import { withdraw } from './verbs/withdraw.js';
import { worker } from './verbs/worker.js';

const GROUPS = [
  { title: 'To begin and to look:', verbs: [start, list, state, plan, receipt, history, schedule] },
  { title: 'To answer:', verbs: [approve, withdraw, reject, decide, waive, tick] },
  { title: 'To steer:', verbs: [pause, resume, postpone, retry, skip, adjust, rollback, abort, recover] },
  { title: 'To run:', verbs: [worker, codecServer, codecKeys, doctor, diagnose] },
];

export function buildProgram(cli: Cli): Command {
  const program = new Command('ferry')
    .description('Upgrade or move a Redis as a durable, reversible, human-approved Temporal workflow.')
    .version(version(), '-V, --version')
    .option(
      '--address <host:port>',
      'Temporal server (default: $TEMPORAL_ADDRESS, the profile, localhost:7233)',
    )
    .option('--namespace <name>', 'Temporal namespace (default: $TEMPORAL_NAMESPACE, the profile, "default")')
    .option(
      '--profile <name>',
      'profile of Temporal\'s configuration file (default: $TEMPORAL_PROFILE, "default")',
    )
    .option('--task-queue <name>', 'queue that the workers poll (default: $FERRY_TASK_QUEUE, "redis-ferry")')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => cli.io.print(text.trimEnd()),
      writeErr: (text) => cli.io.warn(text.trimEnd()),
    })
    .showHelpAfterError('(--help says more)')
    .exitOverride()
    .addHelpText(
      'after',
      `\nExit codes:\n${Object.entries(EXIT_MEANINGS)
        .map(([code, meaning]) => `  ${code}  ${meaning}`)
        .join('\n')}`,
    );
  for (const { title, verbs } of GROUPS) {
    program.commandsGroup(title);
    for (const verb of verbs) verb(program, cli);
  }
  return program;
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return /"version":\s*"([^"]+)"/.exec(text)?.[1] ?? 'unknown';
}

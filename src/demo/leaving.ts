/** When the demo is to end: Ctrl-C, the other signals, a terminal that was closed, an `npm` that was killed. */
import { readFileSync } from 'node:fs';
import { commandOf, isAlive, run } from '../setup/run.js';

export interface Leaving {
  signal: AbortSignal;
  now: () => void;
  end: () => void;
}

/** npm hands on a Ctrl-C that we get from the terminal too: only a later one means "at once". */
const SAME_PRESS = 1_000;

export function watchForLeaving(): Leaving {
  const control = new AbortController();
  let since = 0;
  const now = () => {
    if (control.signal.aborted) {
      // Whoever insists leaves processes behind; the next start finds them.
      if (Date.now() - since > SAME_PRESS) process.exit(1);
      return;
    }
    since = Date.now();
    control.abort();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, now);
  // A reader that has seen enough, or a terminal that was closed.
  const gone = () => control.abort();
  process.stdout.on('error', gone);
  process.stderr.on('error', gone);
  const orphaned = setInterval(() => void check(), 1_000);
  orphaned.unref();
  const npm = ourNpm();
  async function check(): Promise<void> {
    const pid = await npm;
    if (pid !== null && !isAlive(pid)) control.abort();
  }
  return {
    signal: control.signal,
    now,
    end() {
      clearInterval(orphaned);
      for (const signal of signals) process.off(signal, now);
    },
  };
}

/** The `npm start` that started us, perhaps by a shell. Who kills it means us, and we would not hear of it. */
async function ourNpm(): Promise<number | null> {
  if (process.env['npm_lifecycle_event'] === undefined) return null;
  let pid = process.ppid;
  for (let generation = 0; generation < 3 && pid > 1; generation += 1) {
    const command = await commandOf(pid);
    if (command === null) return null;
    if (/\b(npm|pnpm|yarn)\b/.test(command)) return pid;
    pid = await parentOf(pid);
  }
  return null;
}

async function parentOf(pid: number): Promise<number> {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    const ps = await run('ps', ['-o', 'ppid=', '-p', String(pid)]);
    return Number(ps.stdout.trim()) || 0;
  }
}

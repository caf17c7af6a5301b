/** When the demo is to end: Ctrl-C, the other signals, a terminal that was closed, an `npm` that was killed. */
import { readFileSync } from 'node:fs';
import { commandOf, isAlive, run } from '../setup/run.js';

export interface Leaving {
  signal: AbortSignal;
  /** Somebody can't wait for an end in order. */
  hurry: AbortSignal;
  /** Ends the demo in order. */
  leave: () => void;
  /** Somebody asks for it; asked once more, it ends at once. */
  ask: () => void;
  end: () => void;
}

/** npm hands on a Ctrl-C that we get from the terminal too: only a later one means "at once". */
const SAME_PRESS = 1_000;

export function watchForLeaving(): Leaving {
  const control = new AbortController();
  const hurry = new AbortController();
  let since = 0;
  const leave = () => {
    if (control.signal.aborted) return;
    since = Date.now();
    control.abort();
  };
  const ask = () => {
    if (control.signal.aborted && Date.now() - since > SAME_PRESS) hurry.abort();
    leave();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, ask);
  // A reader that has seen enough, or a terminal that was closed.
  process.stdout.on('error', leave);
  process.stderr.on('error', leave);
  const orphaned = setInterval(() => void check(), 1_000);
  orphaned.unref();
  const npm = ourNpm();
  async function check(): Promise<void> {
    const pid = await npm;
    if (pid !== null && !isAlive(pid)) leave();
  }
  return {
    signal: control.signal,
    hurry: hurry.signal,
    leave,
    ask,
    end() {
      clearInterval(orphaned);
      for (const signal of signals) process.off(signal, ask);
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

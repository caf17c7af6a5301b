import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** How one program ended. `why` is empty when it succeeded, else one line a person can read. */
export type Ran = { ok: boolean; stdout: string; stderr: string; why: string };

/** The set-up's own way to run a program: never throws, always ends. `timeoutMs` is in milliseconds. */
export function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<Ran> {
  const { cwd, env = process.env, timeoutMs = 60_000 } = options;
  return new Promise((resolve) => {
    const child = spawn(program, args, { ...(cwd ? { cwd } : {}), env, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
      // A grandchild may hold the pipes open; without this `close` would wait for it.
      child.stdout.destroy();
      child.stderr.destroy();
    }, timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      const why =
        error.code === 'ENOENT'
          ? `there is no \`${program}\``
          : `\`${program}\` does not run (${error.code})`;
      resolve({ ok: false, stdout, stderr, why });
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve({ ok: true, stdout, stderr, why: '' });
      const ended = signal ? `ended by ${signal}` : `exit code ${code}`;
      const why = timedOut
        ? `no end after ${Math.round(timeoutMs / 1000)} s`
        : (lastLine(stderr) ?? lastLine(stdout) ?? ended);
      resolve({ ok: false, stdout, stderr, why });
    });
  });
}

function lastLine(text: string): string | undefined {
  const lines = text.split('\n').map((line) => line.trim());
  // pip and apt end with notices and summaries; the line that starts with their mark for an error says more.
  const line =
    lines.findLast((each) => /^(E:|ERROR:|error:|fatal)/i.test(each)) ??
    lines.findLast((each) => each !== '');
  return line?.slice(0, 160);
}

/** Where a program stands on PATH, or null. */
export function which(program: string, path: string = process.env['PATH'] ?? ''): string | null {
  for (const folder of path.split(delimiter)) {
    if (folder === '') continue;
    const file = join(folder, program);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // Not in this folder.
    }
  }
  return null;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

// Where nobody reaps (a container whose first process is not an init), a dead process still answers to signal 0.
// With threads left it is only about to die: they still hold its files and ports.
function isZombie(pid: number): boolean {
  const fields = statFields(pid);
  return fields?.[0] === 'Z' && Number(fields[17]) <= 1;
}

/** Fields of /proc/<pid>/stat from the state on; null where there is no /proc or no such process. */
function statFields(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the program's name in brackets, which may itself hold spaces and brackets.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

/** What tells this process from a later one that was given the same number. */
export async function birthOf(pid: number): Promise<string | null> {
  const fields = statFields(pid);
  if (fields) {
    const ticks = fields[19];
    // Ticks count from the boot of the machine, so that a number alone could repeat after a restart.
    return ticks === undefined ? null : `${bootId()}/${ticks}`;
  }
  if (process.platform === 'linux') return null;
  const ps = await run('ps', ['-o', 'lstart=', '-p', String(pid)]);
  return ps.stdout.trim() || null;
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '-';
  }
}

/** The command line of a process, with spaces between its words; null when there is no such process. */
export async function commandOf(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() || null;
    } catch {
      return null;
    }
  }
  const ps = await run('ps', ['-o', 'command=', '-p', String(pid)]);
  return ps.stdout.trim() || null;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const seconds = (since: number): string => `${Math.max(1, Math.round((Date.now() - since) / 1000))} s`;

/** Numbers of a version, compared one by one; a missing one counts as 0. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split(/[^0-9]+/).map(Number));
  for (let at = 0; at < Math.max(left!.length, right!.length); at += 1) {
    const difference = (left![at] ?? 0) - (right![at] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  return 0;
}

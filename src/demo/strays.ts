/**
 * Processes of an earlier start that no pid file names: a kill -9 can fall between the birth of a process and the note of it. A
 * Temporal that nobody knows of would share its database file with the next one, which spoils it.
 */
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isAlive, pause, run } from '../setup/run.js';
import { known } from './processes.js';

/** Ends every server, worker and application that works in this folder and has no pid file. Call it only while no demo runs there. */
export async function endStrays(folder: string): Promise<void> {
  const noted = await known(folder);
  const strays = (await processes()).filter(
    (each) => !noted.has(each.pid) && belongs(each, folder, realpathSync(folder)),
  );
  for (const { pid } of strays) send(pid);
  const until = Date.now() + 5_000;
  while (strays.some(({ pid }) => isAlive(pid)) && Date.now() < until) await pause(20);
}

interface Process {
  pid: number;
  words: string[];
  /** Where it was started; null where the system doesn't tell. */
  cwd: string | null;
}

/** Somebody who only reads a log of ours names the folder too, so the program and its role are looked at. */
function belongs({ pid, words, cwd }: Process, ...folders: readonly string[]): boolean {
  if (pid === process.pid) return false;
  const program = basename(words[0] ?? '');
  return folders.some((folder) => {
    if (program === 'temporal') return words.includes(join(folder, 'temporal.db'));
    if (/^(redis|valkey)-server$/.test(program)) {
      const place = cwd ?? words.find((word) => word.endsWith('/redis.conf')) ?? '';
      return place.startsWith(`${folder}/run-`);
    }
    const [script = '', place = ''] = words.slice(1);
    return /^(worker|app)\.js$/.test(basename(script)) && place.startsWith(`${folder}/run-`);
  });
}

async function processes(): Promise<Process[]> {
  if (process.platform !== 'linux') {
    const ps = await run('ps', ['-axo', 'pid=,command='], { timeoutMs: 5_000 });
    return ps.stdout.split('\n').map((line) => {
      const [pid = '', ...words] = line.trim().split(/\s+/);
      return { pid: Number(pid), words, cwd: null };
    });
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
        // Redis writes its title over its command line, with spaces.
        const [program = '', ...rest] = words[0]?.includes(' ') ? words[0].split(' ') : words;
        return [{ pid: Number(name), words: [program, ...rest], cwd: readlinkSync(`/proc/${name}/cwd`) }];
      } catch {
        // It has ended, or is somebody else's.
        return [];
      }
    });
}

function send(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself in between.
  }
}

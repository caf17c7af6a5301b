/** redis-shake, where it is on PATH, reading by SCAN: its own way to copy once and end. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Ports } from './index.js';

export async function run({ from, to }: Ports) {
  const folder = mkdtempSync(join(tmpdir(), 'ferry-bench-shake-'));
  try {
    const settings = join(folder, 'shake.toml');
    writeFileSync(
      settings,
      `[scan_reader]\naddress = "127.0.0.1:${from}"\nscan = true\nksn = false\ncount = 1000\n[redis_writer]\naddress = "127.0.0.1:${to}"\n[advanced]\ndir = ${JSON.stringify(folder)}\nrdb_restore_command_behavior = "rewrite"\n`,
    );
    const child = spawn('redis-shake', [settings], { stdio: 'ignore' });
    process.once('exit', () => child.kill('SIGKILL'));
    const code = await new Promise((done, fail) => {
      child.once('error', fail);
      child.once('close', done);
    });
    if (code !== 0) throw new Error(`redis-shake ended with exit code ${String(code)}`);
    return {};
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Who speaks. Names are self-declared: they go to the receipt as they are given. */
import { userInfo } from 'node:os';
import { run } from '../setup/run.js';
import type { Io } from './io.js';

/** `--by`, else FERRY_BY, else git's user name, else the account's. */
export async function speaker(io: Io, by: string | undefined): Promise<string> {
  if (by !== undefined && by.trim() !== '') return by.trim();
  const named = io.env['FERRY_BY']?.trim();
  if (named) return named;
  const git = await run('git', ['config', '--get', 'user.name'], { timeoutMs: 2_000 });
  return git.stdout.trim() || userInfo().username;
}

/* A folder as FERRY_REDIS_BIN names it, with one of the servers of the tests. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export async function redisBin(folder: string, binary: string, product = 'redis'): Promise<string> {
  const bin = join(folder, 'redis-bin');
  await mkdir(bin, { recursive: true });
  const program = join(bin, `${product}-server`);
  await writeFile(program, `#!/bin/sh\nexec '${binary}' "$@"\n`);
  await chmod(program, 0o755);
  return bin;
}

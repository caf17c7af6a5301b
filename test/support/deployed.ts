/* What the unit of deploy/ sets so that a worker's memory stays small: a test of memory takes the worker as it is deployed. */
import { readFile } from 'node:fs/promises';

export async function memorySettings(): Promise<Record<string, string>> {
  const unit = await readFile('deploy/redis-ferry.service', 'utf8');
  const settings = unit.matchAll(/^Environment="?((?:NODE_OPTIONS|MALLOC_\w+))=(.*?)"?$/gm);
  return Object.fromEntries([...settings].map(([, name = '', value = '']) => [name, value]));
}

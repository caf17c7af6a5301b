/** Reads what INFO and CONFIG GET reply. */

/** `key:value` lines of INFO. */
export function parseInfo(text: string): Record<string, string> {
  const facts: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) facts[line.slice(0, colon)] = line.slice(colon + 1).trimEnd();
  }
  return facts;
}

/** "Redis 7.0.15": Valkey says its own version beside the one that it is compatible with. */
export function productIn(info: Record<string, string>): string {
  return info['valkey_version']
    ? `Valkey ${info['valkey_version']}`
    : `Redis ${info['redis_version'] ?? '?'}`;
}

/** Of each database that holds keys, by its number. */
export type Keyspace = Record<string, { keys: number; expires: number }>;

/** What `INFO keyspace`, or all of INFO, says of each database. */
export function keyspaceIn(info: Record<string, string>): Keyspace {
  const databases: Keyspace = {};
  for (const [name, value] of Object.entries(info)) {
    const number = /^db(\d+)$/.exec(name)?.[1];
    const counts = /keys=(\d+),expires=(\d+)/.exec(value);
    if (number !== undefined && counts)
      databases[number] = { keys: Number(counts[1]), expires: Number(counts[2]) };
  }
  return databases;
}

/** Of all databases together. */
export function allOf(keyspace: Keyspace, what: 'keys' | 'expires' = 'keys'): number {
  return Object.values(keyspace).reduce((sum, database) => sum + database[what], 0);
}

/** Compares `7.2.4` with `7.0` by number. */
export function atLeast(version: string, least: string): boolean {
  const [a, b] = [version, least].map((text) =>
    text.split('.').map((part) => Number.parseInt(part, 10) || 0),
  );
  for (let i = 0; i < 3; i += 1) {
    const difference = (a?.[i] ?? 0) - (b?.[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/** A reply of alternating names and values. */
export function pairsOf(reply: unknown): [name: string, value: string][] {
  if (!Array.isArray(reply)) return [];
  const flat: unknown[] = reply;
  return flat.flatMap((name, i) =>
    i % 2 === 0 ? [[textOf(name), textOf(flat[i + 1])] as [string, string]] : [],
  );
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

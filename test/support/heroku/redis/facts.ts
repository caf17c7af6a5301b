import type { Store } from './store.js';

/** A section of INFO. */
export async function factsOf(store: Store, section: string): Promise<Map<string, string>> {
  const text = String(await store.operate((call) => call('INFO', section)));
  return new Map([...text.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name = '', value = '']) => [name, value]));
}

/** Words that several checks share. */

export const NOT_TOLD = 'not known: not permitted to ask';

/** `config|get` as `CONFIG GET`. */
export function shownCommand(name: string): string {
  return name.replace('|', ' ').toUpperCase();
}

/** The first twelve, and how many more there are. */
export function someOf(words: readonly string[], total: number = words.length): string {
  const first = words.slice(0, 12);
  return first.join(', ') + (total > first.length ? ` and ${total - first.length} more` : '');
}

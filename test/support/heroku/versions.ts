/** `r70` → `7.0`, `v9` → `9.0`: the version that a server of that name is offered as. */
export function versionOf(name: string): string {
  const [major = '', minor = '0'] = name.slice(1);
  return `${major}.${minor}`;
}

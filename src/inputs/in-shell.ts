/** What stands in a shell, for commands that a person types. */
import type { SecretRef } from './refs.js';

/** One word for sh, as it is. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** For the secret that a reference points at. */
export function secretInShell(ref: SecretRef): string {
  if ('file' in ref) return `"$(cat ${quoted(ref.file)})"`;
  if ('herokuConfig' in ref)
    return `"$(heroku config:get ${quoted(ref.herokuConfig.key)} -a ${quoted(ref.herokuConfig.app)})"`;
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(ref.env) ? `"$${ref.env}"` : `"$(printenv ${quoted(ref.env)})"`;
}

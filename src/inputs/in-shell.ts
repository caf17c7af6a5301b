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
  if ('kubernetesSecret' in ref) {
    const { namespace, name, key, context } = ref.kubernetesSecret;
    const words = ['kubectl', ...contextInShell(context), '-n', namespace, 'get', 'secret', name];
    const entry = quoted(`jsonpath={.data.${key.replaceAll('.', String.raw`\.`)}}`);
    return `"$(${words.join(' ')} -o ${entry} | base64 -d)"`;
  }
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(ref.env) ? `"$${ref.env}"` : `"$(printenv ${quoted(ref.env)})"`;
}

/** The words that choose the cluster; none for the current one. */
export function contextInShell(context: string | undefined): string[] {
  return context === undefined ? [] : ['--context', quoted(context)];
}

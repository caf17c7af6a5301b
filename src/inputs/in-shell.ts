/** What stands in a shell, for commands that a person types. */
import { savedAs, type SecretRef } from './refs.js';

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
  if ('hokusai' in ref) {
    const { app, env, key } = ref.hokusai;
    // What hokusai would print, from wherever one is; and what it held before, while an upgrade has changed it.
    const template = quoted(`go-template={{or .data.${savedAs(key)} .data.${key}}}`);
    return `"$(kubectl --context ${env} get configmap ${app}-environment -o ${template})"`;
  }
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(ref.env) ? `"$${ref.env}"` : `"$(printenv ${quoted(ref.env)})"`;
}

/** The words that choose the cluster; none for the current one. */
export function contextInShell(context: string | undefined): string[] {
  return context === undefined ? [] : ['--context', quoted(context)];
}

const DECODE = String.raw`LC_ALL=C awk 'BEGIN{for(i=1;i<256;i++)c[sprintf("%02X",i)]=sprintf("%c",i)}{o="";while(match($0,/%[0-9A-Fa-f][0-9A-Fa-f]/)){o=o substr($0,1,RSTART-1) c[toupper(substr($0,RSTART+1,2))];$0=substr($0,RSTART+3)}printf "%s",o $0}'`;

/** A pipe that takes the password out of a URL, which stands in the shell as `url`. */
export function passwordInShell({ url, password }: { url: string; password: string }): string {
  const cut = `printf '%s\\n' ${url} | sed 's|^[^:]*://[^:]*:||; s|@[^@]*$||'`;
  // Only such a password needs no percent-encoding in a URL; a shorter card is easier to trust at night.
  return /^[\w.~-]+$/.test(password) ? cut : `${cut} | ${DECODE}`;
}

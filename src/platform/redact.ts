/** Removes secrets from text: those that were read, in every spelling, and whatever looks like a password in a URL. */

/** Every spelling of every secret that was resolved, longest first. In memory only. */
let spellings: string[] = [];

/** Remembers a secret, so that `redact` removes it. */
export function rememberSecret(secret: string): void {
  if (secret === '' || spellings.includes(secret)) return;
  const parts = new Set<string>([secret]);
  // A URL's password alone is as secret as the URL.
  for (const part of credentialsOf(secret)) parts.add(part);
  const all = new Set(spellings);
  for (const part of parts) for (const spelling of spellingsOf(part)) all.add(spelling);
  spellings = [...all].toSorted((a, b) => b.length - a.length);
}

function credentialsOf(text: string): string[] {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return [];
  try {
    const url = new URL(text);
    return url.password ? [url.password, decodeURIComponent(url.password)] : [];
  } catch {
    // Not a URL after all: what stands between the scheme and the last @ is taken for the credentials.
    const password = /:\/\/[^:/]*:(.*)@/.exec(text)?.[1];
    return password ? [password] : [];
  }
}

function spellingsOf(secret: string): string[] {
  const url = encodeURIComponent(secret);
  const forms = [
    secret,
    url,
    encodeURI(secret),
    url.replaceAll('%20', '+'),
    JSON.stringify(secret).slice(1, -1),
  ];
  // Base64 of a longer text holds the secret at one of three offsets; the first and last characters there depend on the neighbours.
  if (secret.length >= 6) {
    for (const before of [0, 1, 2]) {
      const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
      const whole = bytes.toString('base64').replace(/=+$/, '');
      const inner = whole.slice(before === 0 ? 0 : before + 1, bytes.length % 3 === 0 ? undefined : -1);
      forms.push(inner, inner.replaceAll('+', '-').replaceAll('/', '_'));
    }
  }
  return forms.filter((form) => form !== '');
}

const HIDDEN = '***';

/** Removes every known secret (also URL-encoded and base64) and every password inside a URL. */
export function redact(text: string): string {
  let clean = text;
  for (const spelling of spellings) {
    // A secret of one to three characters would tear holes everywhere; it is removed where it stands alone.
    clean =
      spelling.length > 3
        ? clean.replaceAll(spelling, HIDDEN)
        : clean.replaceAll(new RegExp(`(?<![\\w])${escapeRegExp(spelling)}(?![\\w])`, 'g'), HIDDEN);
  }
  return clean.replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@'"]*:[^\s'"]*@/gi, `$1${HIDDEN}@`);
}

function escapeRegExp(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}

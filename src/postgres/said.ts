/** What pg_dump and pg_restore say when they fail, without what a row holds. */

/** The first error, on one line; what follows it (DETAIL, CONTEXT, the command) may quote values. */
export function firstError(said: string): string {
  const lines = said.split('\n').map((line) => line.trim());
  const at = lines.findIndex((line) => /(?:error|fatal):/i.test(line));
  const [line = ''] = at === -1 ? lines.filter((each) => each !== '').slice(-1) : lines.slice(at);
  return line
    .replace(/^.*?(?:pg_dump|pg_restore): (?:error: )?/, '')
    .replace(/\b(invalid input (?:syntax|value) for [^:]*): ".*$/, '$1')
    .slice(0, 500);
}

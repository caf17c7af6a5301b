/** Numbers, lengths of time and moments as people read them. */

/** `412 ms`, `1.2 s`, `12 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(milliseconds: number): string {
  if (!Number.isFinite(milliseconds) || milliseconds < 0) return 'unknown';
  if (milliseconds < 9.95) return `${Number(milliseconds.toPrecision(2))} ms`;
  if (milliseconds < 999.5) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 9_950) return `${(milliseconds / 1_000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return pair(seconds, 60, 'min', 1, 's');
  if (seconds < 86_400) return pair(seconds, 3_600, 'h', 60, 'min');
  return pair(seconds, 86_400, 'd', 3_600, 'h');
}

function pair(seconds: number, big: number, bigName: string, small: number, smallName: string): string {
  const rest = Math.floor((seconds % big) / small);
  return `${Math.floor(seconds / big)} ${bigName}${rest > 0 ? ` ${rest} ${smallName}` : ''}`;
}

/** From one ISO moment to another; empty when either is missing or not a moment. */
export function between(from: string | undefined, to: string | undefined): string {
  const length = from !== undefined && to !== undefined ? Date.parse(to) - Date.parse(from) : NaN;
  return Number.isNaN(length) ? '' : duration(Math.max(0, length));
}

/** `1,234,567`, or `0.324`: what was counted is told whole, what was measured by three digits. */
export function count(number: number): string {
  const told = Number.isInteger(number) ? number : Number(number.toPrecision(3));
  return told.toLocaleString('en', { maximumFractionDigits: 3 });
}

/** `8 MB`, `1.5 GB`: powers of 1024, as Redis counts. */
export function bytes(number: number): string {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB', 'PB'];
  let size = number;
  let unit = 0;
  while (Math.abs(size) >= 1_024 && unit < units.length - 1) {
    size /= 1_024;
    unit += 1;
  }
  return `${size.toLocaleString('en', { maximumFractionDigits: size < 10 ? 1 : 0 })} ${units[unit]}`;
}

/** `2026-03-01 02:00:11 UTC`; what isn't a moment stays as it is. */
export function moment(iso: string): string {
  const at = Date.parse(iso);
  return Number.isNaN(at) ? iso : `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** `writePauseMs` → `write pause`: the unit goes where the value is. */
export function label(key: string): string {
  const words = key
    .replace(UNIT_SUFFIX, '')
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/[_-]+/g, ' ')
    .trim();
  return (NAMELESS[key] ?? (words || key))
    .split(' ')
    .map((word) =>
      ACRONYMS.has(word.toLowerCase())
        ? word.toUpperCase()
        : /^[A-Z][a-z]/.test(word)
          ? word.toLowerCase()
          : word,
    )
    .join(' ');
}

const ACRONYMS = new Set([
  'acl',
  'aof',
  'ca',
  'cpu',
  'db',
  'dns',
  'http',
  'id',
  'ip',
  'rdb',
  'tls',
  'ttl',
  'uri',
  'url',
  'uuid',
]);
/** Keys that are only a unit. */
const NAMELESS: Record<string, string> = { ms: 'time', seconds: 'time', bytes: 'size' };

const UNIT_SUFFIX = /(?<=[a-z0-9])(Ms|Millis|Milliseconds|Seconds|Bytes)$/;
const ISO_MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/;

/** A plain value as text; its key may name the unit (`…Ms`, `…Seconds`, `…Bytes`). Null is an answer of its own. */
export function value(plain: unknown, key = ''): string {
  if (plain === null || plain === undefined) return 'unknown';
  if (typeof plain === 'boolean') return plain ? 'yes' : 'no';
  if (typeof plain === 'number') {
    if (/(Ms|^ms|Millis|Milliseconds)$/.test(key)) return duration(plain);
    if (/(Seconds|^seconds)$/.test(key)) return duration(plain * 1_000);
    if (/(Bytes|^bytes)$/.test(key)) return bytes(plain);
    return Number.isFinite(plain) ? count(plain) : 'unknown';
  }
  if (typeof plain === 'string') return ISO_MOMENT.test(plain) ? moment(plain) : plain;
  return JSON.stringify(plain) ?? 'unknown';
}

export function isRecord(thing: unknown): thing is Record<string, unknown> {
  return typeof thing === 'object' && thing !== null && !Array.isArray(thing);
}

/** Neither an object nor a list. */
export function isPlain(thing: unknown): boolean {
  return typeof thing !== 'object' || thing === null;
}

/** Rows of equal shape are read best as a table: the columns, or null when they don't make one. */
export function columnsOf(rows: readonly unknown[]): string[] | null {
  if (rows.length === 0 || !rows.every((row) => isRecord(row) && Object.values(row).every(isPlain)))
    return null;
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row as object)))];
  return columns.length > 0 && columns.length <= 8 ? columns : null;
}

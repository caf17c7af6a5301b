/** Values of a chart: put together, compared, and shown without what may be a secret. */
import type { Values } from './helm.js';

/** What `more` says counts; objects are merged, everything else is replaced, and null takes away, as with helm. */
export function merged(values: Values, more: Values): Values {
  const result: Values = { ...values };
  for (const [name, value] of Object.entries(more)) {
    const was = result[name];
    if (value === null) delete result[name];
    else result[name] = isObject(value) && isObject(was) ? merged(was, value) : value;
  }
  return result;
}

/** At `image.tag`; undefined where there is nothing. */
export function valueAt(values: Values, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((value, name) => (isObject(value) ? value[name] : undefined), values);
}

export function withValue(values: Values, path: string, value: unknown): Values {
  return merged(
    values,
    path.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as Values,
  );
}

/** As it was before `withValue`: what was not given is taken away, with the objects that are empty then. */
export function putBack(values: Values, path: string, was: unknown): Values {
  if (was !== undefined && was !== null) return withValue(values, path, was);
  const [name = '', ...rest] = path.split('.');
  const { [name]: inner, ...others } = values;
  if (rest.length === 0 || !isObject(inner)) return others;
  const left = putBack(inner, rest.join('.'), was);
  return Object.keys(left).length === 0 ? others : { ...others, [name]: left };
}

/**
 * The tag of the new version: what `values` say, else the old tag with the version in it replaced (`7.0.15-alpine` becomes
 * `8.0.2-alpine`), else the version.
 */
export function targetTag(on: {
  given: Values;
  values: Values;
  path: string;
  /** What runs now. */
  version: string;
  targetVersion: string;
}): string {
  const { given, values, path, version, targetVersion } = on;
  const said = valueAt(values, path);
  if (typeof said === 'string' || typeof said === 'number') return String(said);
  const was = valueAt(given, path);
  return typeof was === 'string' && was.startsWith(version)
    ? targetVersion + was.slice(version.length)
    : targetVersion;
}

/** Names of values that may hold one. */
const SECRET = /pass(word)?|secret|token|credential|private|apikey|auth$/i;
const LONGEST = 60;

/** One sentence for each difference, such as `image.tag: 7.0.15 → 8.0.2`. */
export function differences(before: unknown, after: unknown, path = ''): string[] {
  if (isObject(before) && isObject(after))
    return [...new Set([...Object.keys(before), ...Object.keys(after)])]
      .toSorted()
      .flatMap((name) => differences(before[name], after[name], path === '' ? name : `${path}.${name}`));
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  if (SECRET.test(path)) return [`${path}: changed (not shown)`];
  if (isLong(before) || isLong(after)) return [`${path}: ${linesChanged(before, after)}`];
  return [`${path}: ${said(before)} → ${said(after)}`];
}

function said(value: unknown): string {
  if (value === undefined) return 'not given';
  const text = typeof value === 'string' ? value : JSON.stringify(value, hidden);
  return text === '' ? '""' : text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

function hidden(name: string, value: unknown): unknown {
  return SECRET.test(name) && typeof value === 'string' && value !== '' ? '***' : value;
}

function isLong(value: unknown): boolean {
  return typeof value === 'string' && value.includes('\n');
}

/** For a text of several lines, such as redis.conf: those that went and those that came. */
function linesChanged(before: unknown, after: unknown): string {
  const lines = (value: unknown) =>
    (typeof value === 'string' ? value : '')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'));
  const [was, is] = [lines(before), lines(after)];
  const hide = (line: string) =>
    SECRET.test(line.split(/\s/)[0] ?? '') ? `${line.split(/\s/)[0]} ***` : line;
  const gone = was.filter((line) => !is.includes(line)).map((line) => `- ${hide(line)}`);
  const came = is.filter((line) => !was.includes(line)).map((line) => `+ ${hide(line)}`);
  const all = [...gone, ...came];
  return all.length === 0 ? 'other comments or order' : all.slice(0, 12).join(', ').slice(0, 400);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** With stars where a secret may stand, for people to read and keep. */
export function withoutSecrets(values: Values): Values {
  return JSON.parse(JSON.stringify(values, hidden)) as Values;
}

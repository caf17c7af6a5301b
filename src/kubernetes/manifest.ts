/** What a chart makes of its values: the objects, and how two sets of them differ. */
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { FerryError } from '../errors.js';
import { differences, isObject, valueAt } from './values.js';

const Rendered = z.looseObject({
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
});
export type RenderedObject = z.infer<typeof Rendered>;

/** @throws FerryError UnexpectedReply */
export function objectsIn(yaml: string): RenderedObject[] {
  return parseAllDocuments(yaml, { logLevel: 'silent' }).flatMap((document) => {
    const value: unknown = document.toJS();
    if (value === null || value === undefined) return [];
    const parsed = Rendered.safeParse(value);
    if (!parsed.success || document.errors.length > 0)
      throw new FerryError(
        'UnexpectedReply',
        'what helm rendered is not understood: an object without kind or name',
      );
    return [parsed.data];
  });
}

/** Of what users notice: labels that name the chart's version change with every version of it. */
const NOISE =
  /^metadata\.labels\.helm\.sh\/chart|\.labels\.(helm\.sh\/chart|app\.kubernetes\.io\/version):|annotations\.checksum\//;

/** Sentences: which objects come, go and change, and what of them. What Secrets hold is not shown. */
export function objectDifferences(before: RenderedObject[], after: RenderedObject[]): string[] {
  const key = ({ kind, metadata }: RenderedObject) => `${kind} ${metadata.name}`;
  const names = [...new Set([...before, ...after].map(key))].toSorted();
  return names.flatMap((name) => {
    const [was, is] = [before.find((each) => key(each) === name), after.find((each) => key(each) === name)];
    if (!was) return [`${name}: is new`];
    if (!is) return [`${name}: goes`];
    const changed = differences(byName(was), byName(is)).filter((line) => !NOISE.test(line));
    if (changed.length === 0) return [];
    return was.kind === 'Secret' ? [`${name}: changes`] : changed.map((line) => `${name}: ${line}`);
  });
}

/** Lists of named things (containers, variables, ports) as objects, so that their differences have names too. */
function byName(value: unknown): unknown {
  if (Array.isArray(value))
    return value.length > 0 && value.every((each) => isObject(each) && typeof each['name'] === 'string')
      ? Object.fromEntries(
          value.map((each: unknown) => [isObject(each) ? String(each['name']) : '', byName(each)]),
        )
      : value;
  return isObject(value)
    ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, byName(inner)]))
    : value;
}

/** What of a StatefulSet Kubernetes never lets anybody change: an upgrade that tries to fails in the middle. */
const FIXED = ['spec.serviceName', 'spec.selector', 'spec.podManagementPolicy', 'spec.volumeClaimTemplates'];

/** Differences that the cluster will refuse. */
export function refusedChanges(
  before: RenderedObject | undefined,
  after: RenderedObject | undefined,
): string[] {
  if (!before || !after) return [];
  return FIXED.flatMap((path) => differences(valueAt(before, path), valueAt(after, path), path));
}

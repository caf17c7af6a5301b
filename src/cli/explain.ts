/** What is wrong with an input, field by field, and what to do about each. */
import { z } from 'zod';
import { sentences } from '../inputs/messages.js';

/** One entry for each problem: the sentence, and underneath what the field is for or which names there are. */
export interface Problem {
  problem: string;
  help: string;
}

/** Problems of an input that doesn't fit; none when it does. */
export function problemsOf(input: unknown, schema: z.ZodType): Problem[] {
  // The input's values tell a missing field from one of the wrong type; the issues don't leave this function.
  const { error } = schema.safeParse(input, { reportInput: true });
  if (!error) return [];
  const json: unknown = z.toJSONSchema(schema, { io: 'input' });
  return error.issues.map((issue) => ({
    problem:
      issue.code !== 'unrecognized_keys' && issue.code !== 'custom' && issue.input === undefined
        ? `\`${issue.path.join('.')}\` is missing`
        : sentences(new z.ZodError([issue])),
    help:
      issue.code === 'unrecognized_keys'
        ? suggestion(issue.keys, propertiesAt(json, issue.path))
        : descriptionAt(json, issue.path),
  }));
}

function suggestion(keys: readonly string[], known: readonly string[]): string {
  if (known.length === 0) return '';
  const near = keys
    .map((key) => [...known].sort((a, b) => distance(key, a) - distance(key, b))[0])
    .filter((name, at) => name !== undefined && isNear(keys[at] ?? '', name));
  return `${near.length > 0 ? `Did you mean ${near.map((name) => `\`${name}\``).join(', ')}? ` : ''}Known fields: ${[...known].sort().join(', ')}`;
}

function isNear(written: string, known: string): boolean {
  return distance(written, known) <= Math.max(1, Math.floor(known.length / 3));
}

/** Edits from one word to the other (Levenshtein), case left out. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [i, left] of [...a.toLowerCase()].entries()) {
    const next = [i + 1];
    for (const [j, right] of [...b.toLowerCase()].entries()) {
      next.push(
        Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (left === right ? 0 : 1)),
      );
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

const Node = z.looseObject({
  description: z.string().optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  anyOf: z.array(z.unknown()).optional(),
  oneOf: z.array(z.unknown()).optional(),
  items: z.unknown().optional(),
  $ref: z.string().optional(),
  $defs: z.record(z.string(), z.unknown()).optional(),
});

/** The schema nodes that a path can lead to; several, where alternatives are open. */
function nodesAt(root: unknown, path: readonly PropertyKey[]): z.infer<typeof Node>[] {
  const defs = Node.safeParse(root).data?.$defs ?? {};
  const open = (raw: unknown): z.infer<typeof Node>[] => {
    const node = Node.safeParse(raw).data;
    if (!node) return [];
    if (node.$ref !== undefined) return open(defs[node.$ref.replace('#/$defs/', '')]);
    return [node, ...[...(node.anyOf ?? []), ...(node.oneOf ?? [])].flatMap(open)];
  };
  let nodes = open(root);
  for (const key of path) {
    nodes = nodes.flatMap((node) =>
      open(typeof key === 'number' ? node.items : node.properties?.[String(key)]),
    );
  }
  return nodes;
}

function propertiesAt(root: unknown, path: readonly PropertyKey[]): string[] {
  return [...new Set(nodesAt(root, path).flatMap((node) => Object.keys(node.properties ?? {})))];
}

/** The description of the field, or of the nearest one around it that has one. */
function descriptionAt(root: unknown, path: readonly PropertyKey[]): string {
  for (let length = path.length; length > 0; length -= 1) {
    const described = nodesAt(root, path.slice(0, length)).find((node) => node.description !== undefined);
    if (described?.description !== undefined) return described.description;
  }
  return '';
}

/*
 * docs/reference/ is made from the code: `npm run docs` writes it, `npm run docs -- --check` fails where it is stale.
 * It reads the build (the schemas, the command's own help) and the comments of src/contract.ts.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootstrap, root } from './bootstrap.mjs';

const FOLDER = join(root, 'docs', 'reference');
const NOTE = '<!-- Made by `npm run docs`. Change the source instead. -->';

/** Whole inputs to begin with. Each is checked against its schema. */
const EXAMPLES = {
  fleetRollout: {
    name: 'redis-8',
    maxParallel: 3,
    soak: '10m',
    defaults: {
      strategy: 'redisCopy',
      input: { writes: 'running', onFailure: 'rollback', gates: { start: 'auto', cutover: 'auto' } },
    },
    waves: [
      {
        name: 'dev',
        targets: [
          {
            input: {
              name: 'dev-cache',
              source: { env: 'DEV_CACHE' },
              target: { env: 'DEV_CACHE_8' },
              repoint: { kind: 'file', path: '/etc/dev/redis' },
            },
          },
        ],
      },
      { name: 'production', match: { env: 'production' }, maxParallel: 1 },
    ],
    targets: [
      {
        labels: { env: 'production' },
        input: {
          name: 'cache',
          source: { env: 'CACHE' },
          target: { env: 'CACHE_8' },
          repoint: { kind: 'file', path: '/etc/shop/redis' },
        },
      },
    ],
  },
  rehearsal: {
    name: 'sessions',
    strategy: 'redisCopy',
    input: {
      name: 'sessions-staging',
      source: { env: 'STAGING_OLD_REDIS_URL' },
      target: { env: 'STAGING_NEW_REDIS_URL' },
      writes: 'running',
      repoint: { kind: 'file', path: '/etc/app-staging/redis-url' },
    },
  },
  redisCopy: {
    name: 'sessions',
    source: { env: 'OLD_REDIS_URL' },
    target: { env: 'NEW_REDIS_URL' },
    writes: 'running',
    repoint: { kind: 'file', path: '/etc/app/redis-url' },
  },
  redisSwitchover: {
    name: 'sessions',
    source: { env: 'OLD_REDIS_URL' },
    target: { env: 'NEW_REDIS_URL' },
    repoint: {
      kind: 'haproxy',
      socket: '/run/haproxy/admin.sock',
      backend: 'redis',
      servers: { source: 'redis-7', target: 'redis-8' },
    },
    soak: '24h',
  },
  herokuFork: {
    name: 'cache',
    app: 'shop',
    addon: 'redis-curly-1',
    targetVersion: '7.2',
    mode: 'degraded',
    apps: ['shop-canary', 'shop'],
    keepOldFor: '24h',
  },
  helmBlueGreen: {
    name: 'cache',
    namespace: 'redis',
    release: 'redis',
    chart: './charts/redis',
    targetVersion: '8.0.2',
    soak: '24h',
  },
  helmDumpRestore: {
    name: 'cache',
    namespace: 'redis',
    release: 'redis',
    chart: './charts/redis',
    targetVersion: '8.0.2',
    gates: { cutover: 'auto' },
  },
  providerMove: {
    name: 'shop',
    window: { opensAt: '2026-03-01T02:00:00Z', closesAt: '2026-03-01T02:30:00Z' },
    stores: [
      {
        strategy: 'redisSwitchover',
        input: {
          name: 'sessions',
          source: { env: 'OLD_SESSIONS' },
          target: { env: 'NEW_SESSIONS' },
          repoint: { kind: 'file', path: '/etc/shop/sessions' },
        },
      },
      {
        strategy: 'postgresMove',
        when: 'afterwards',
        input: {
          name: 'orders',
          source: { env: 'OLD_DATABASE_URL' },
          target: { env: 'NEW_DATABASE_URL' },
          repoint: { kind: 'file', path: '/etc/shop/database' },
        },
      },
    ],
  },
  postgresMove: {
    name: 'shop',
    source: { env: 'OLD_DATABASE_URL' },
    target: { env: 'NEW_DATABASE_URL' },
    repoint: { kind: 'hokusai', app: 'shop', env: 'production', key: 'DATABASE_URL' },
    clean: true,
  },
  helmInPlace: {
    name: 'cache',
    namespace: 'redis',
    release: 'redis',
    chart: './charts/redis',
    targetVersion: '8.0.2',
  },
  helmRolling: {
    name: 'cache',
    namespace: 'redis',
    release: 'redis',
    chart: './charts/redis',
    targetVersion: '8.0.2',
  },
  herokuInPlace: { name: 'cache', app: 'shop', addon: 'redis-curly-1', targetVersion: '7.2' },
};

/** Fields whose schema leaves to their names what they are. */
const PLAIN_FIELDS = {
  opensAt: 'Date and time with a zone, such as `2026-03-01T02:00:00Z`',
  closesAt: 'Date and time with a zone',
  env: 'Environment variable of the worker that holds the URL',
  file: 'Absolute path of a file on the worker that holds the URL',
  webhook: 'The address, or a reference to it where it is a secret',
  http: 'An address that is asked by GET',
  status: 'The HTTP status that passes',
  path: 'Absolute path on the worker',
  name: 'Stands in checks and receipt',
  kind: 'Tells the forms apart',
};

/** What the comments of the contract don't say of a message's fields. */
const COMMON_FIELDS = {
  by: 'Who speaks',
  note: 'Why; goes to the receipt',
  gate: 'Name of the gate',
  check: 'Name of the check, as in `state.checks`',
  item: 'The follow-up, as the input names it',
  choice: 'One of those in `state.decision.choices`',
  target: 'Of a fleet: the target that is left out',
  rate: '`"yield"`, `"full"`, or keys a second',
  window: 'The maintenance window',
};

const PHASES = {
  Running: ['A step runs', '0'],
  AwaitingApproval: ['A gate is open: approve or reject', '3'],
  AwaitingWindow: ['Waits for the maintenance window', '0'],
  Paused: ['A person paused it', '0'],
  NeedsDecision: ['Something failed or is unknown, and a person has to choose', '5'],
  RollingBack: ['Undoing, in reverse order', '0'],
  Completed: ['Ended: every step was done', '0'],
  RolledBack: ['Ended: everything done was undone', '4'],
  RollbackFailed: ['Ended: an undo failed and a person ended it there', '6'],
  Aborted: ['Ended: a person stopped it on the way, nothing was undone', '1'],
};

await bootstrap();
const [
  { z },
  prettier,
  { SCHEMAS, FAILURES, MESSAGES, STRATEGIES },
  { MESSAGE_SCHEMAS },
  { buildProgram },
  { newCli },
  { EXIT_MEANINGS },
] = await Promise.all([
  import('zod'),
  import('prettier'),
  built('index.js'),
  built('inputs/messages.js'),
  built('cli/program.js'),
  built('cli/cli.js'),
  built('cli/exit.js'),
]);
const contract = parseContract(readFileSync(join(root, 'src', 'contract.ts'), 'utf8'));

const pages = {
  'inputs.md': inputs(),
  'messages.md': messages(),
  'failures.md': failures(),
  'cli.md': cli(),
  'state.md': state(),
};
for (const strategy of Object.keys(SCHEMAS))
  pages[`${strategy}.schema.json`] = JSON.stringify(jsonSchema(SCHEMAS[strategy]));
process.exitCode = await settle(process.argv.includes('--check'));

function built(path) {
  return import(new URL(`../dist/${path}`, import.meta.url).href);
}

/** Writes what has changed, or only says what would. */
async function settle(checkOnly) {
  const config = await prettier.resolveConfig(join(root, 'package.json'));
  mkdirSync(FOLDER, { recursive: true });
  const stale = readdirSync(FOLDER).filter((name) => !(name in pages));
  for (const [name, text] of Object.entries(pages)) {
    const path = join(FOLDER, name);
    const whole = await prettier.format(text, { ...config, filepath: path });
    if (read(path) === whole) continue;
    stale.push(name);
    if (!checkOnly) writeFileSync(path, whole);
  }
  if (stale.length === 0) return 0;
  console.error(
    checkOnly
      ? `docs/reference is stale: ${stale.join(', ')}. Run \`npm run docs\`, and remove what is no longer made.`
      : `docs/reference: ${stale.join(', ')}`,
  );
  return checkOnly ? 1 : 0;
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

// ── Inputs ───────────────────────────────────────────────────────────────────────────────────────

function jsonSchema(schema) {
  return z.toJSONSchema(schema, { io: 'input' });
}

function inputs() {
  const lines = [
    '# Inputs',
    NOTE,
    'Every strategy takes one JSON object. Give it to `ferry start STRATEGY --input FILE`, or to the Temporal UI as the one argument of the workflow type. Its `name` makes the workflow ID, so one target has one upgrade at a time. An unknown field is refused.',
    'A length of time is a number and a unit: `"500ms"`, `"30s"`, `"15m"`, `"24h"`, `"2d"`.',
  ];
  for (const [strategy, schema] of Object.entries(SCHEMAS)) {
    const json = jsonSchema(schema);
    const needed = json.required ?? [];
    lines.push(
      `## ${strategy}`,
      `${json.description}. Workflow ID: \`upgrade/${STRATEGIES[strategy]}/<name>\`. [JSON Schema](${strategy}.schema.json).`,
      `Needed: ${needed.map(code).join(', ')}. All else has a default or may be left out.`,
      example(strategy, schema),
      fieldsTable(json, { linked: true }),
    );
    const shown = new Map();
    for (const [name, field] of Object.entries(json.properties)) {
      const objects = objectsOf(field);
      if (objects.length === 0) continue;
      lines.push(`### ${strategy}: \`${name}\``, sentence(field.description));
      const { description: _, default: __, examples: ___, ...form } = field;
      const key = JSON.stringify(form);
      if (shown.has(key)) {
        lines.push(
          `The same forms as [\`${shown.get(key)}\`](#${anchor(`${strategy}: ${shown.get(key)}`)}).`,
        );
        continue;
      }
      shown.set(key, name);
      const others = alternatives(field).filter((each) => !isObject(each) && each.type !== 'array');
      if (field.type === 'array') lines.push('A list; each is an object:');
      if (others.length > 0) {
        const forms = others.map(
          (each) => `${code(shape(each))}${each.description ? ` (${lower(each.description)})` : ''}`,
        );
        lines.push(`As ${forms.join(' or ')}, or as an object:`);
      }
      for (const object of objects) {
        if (objects.length > 1) lines.push(`With ${needsOf(object).map(code).join(' and ')}:`);
        lines.push(fieldsTable(object, {}));
      }
    }
  }
  return lines.filter(Boolean).join('\n\n');
}

function fieldsTable(object, { linked }) {
  const rows = Object.entries(object.properties ?? {}).map(([name, field]) => {
    const hasForms = linked && objectsOf(field).length > 0;
    return [
      hasForms ? `[\`${name}\`](#${anchor(`${object.title}: ${name}`)})` : code(name),
      hasForms
        ? alternatives(field)
            .map((each) =>
              isObject(each) ? 'object' : each.type === 'array' ? 'list of objects' : code(shape(each)),
            )
            .filter(unique)
            .join(' or ')
        : code(shape(field)),
      (object.required ?? []).includes(name)
        ? '**needed**'
        : field.default === undefined
          ? ''
          : code(JSON.stringify(field.default)),
      sentence(field.description ?? PLAIN_FIELDS[name] ?? ''),
    ];
  });
  return table(['Field', 'Type', 'Default', 'Meaning'], rows);
}

function example(strategy, schema) {
  const whole = EXAMPLES[strategy];
  schema.parse(whole);
  return ['A whole input:', '', '```json', JSON.stringify(whole), '```'].join('\n');
}

/** The names that tell one form of a union from the others. */
function needsOf(object) {
  return (object.required ?? []).map((name) => {
    const { const: constant } = object.properties[name];
    return constant === undefined ? name : `${name}: ${JSON.stringify(constant)}`;
  });
}

function alternatives(schema) {
  const all = schema.anyOf ?? schema.oneOf;
  if (!all) return [schema];
  return all.flatMap((each) => alternatives(each.description ? each : { ...each })).filter(Boolean);
}

function isObject(schema) {
  return schema.type === 'object' && schema.properties !== undefined;
}

/** The objects that a field can be, or a list of. */
function objectsOf(field) {
  return alternatives(field).flatMap((each) =>
    isObject(each) ? [each] : each.type === 'array' ? objectsOf(each.items) : [],
  );
}

/** A schema as a TypeScript-like type. */
function shape(schema) {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(' | ');
  const all = schema.anyOf ?? schema.oneOf;
  if (all) return all.map(shape).filter(unique).join(' | ');
  switch (schema.type) {
    case 'array': {
      const inner = shape(schema.items);
      return inner.includes(' | ') ? `(${inner})[]` : `${inner}[]`;
    }
    case 'object': {
      if (schema.properties) {
        const required = schema.required ?? [];
        return `{ ${Object.entries(schema.properties)
          .map(([name, field]) => `${name}${required.includes(name) ? '' : '?'}: ${shape(field)}`)
          .join('; ')} }`;
      }
      const keys = schema.propertyNames?.enum ? shape(schema.propertyNames) : 'string';
      return `{ [${keys}]: ${shape(schema.additionalProperties ?? {})} }`;
    }
    case 'integer':
      return 'whole number';
    case undefined:
      return 'anything';
    default:
      if (schema.format === 'date-time') return 'date-time';
      return schema.pattern?.includes('(ms|s|m|h|d)') ? 'duration' : schema.type;
  }
}

// ── Messages ─────────────────────────────────────────────────────────────────────────────────────

function messages() {
  const lines = [
    '# Messages',
    NOTE,
    'Everything that can be said to a running upgrade is an **Update** and a **signal** of the same name, with one JSON object. Prefer the Update: it answers with a sentence, and a refusal comes back to whoever asked. A refused signal is kept in `state.refused`.',
    '`by` says who speaks. It is as honest as whoever writes it: Temporal does not prove it.',
    [
      '```sh',
      "ferry approve sessions cutover --by 'Ana Lima'",
      'temporal workflow update execute --workflow-id upgrade/redis/sessions --name approve --input \'{"gate":"cutover","by":"Ana Lima"}\'',
      'temporal workflow signal --workflow-id upgrade/redis/sessions --name approve --input \'{"gate":"cutover","by":"Ana Lima"}\'',
      'temporal workflow query --workflow-id upgrade/redis/sessions --type state',
      '```',
    ].join('\n'),
    '## Updates and signals',
  ];
  for (const [name, text] of Object.entries(MESSAGES)) {
    const json = jsonSchema(MESSAGE_SCHEMAS[name]);
    const type = contract.get(contract.get('Messages').fields.find((field) => field.name === name).type);
    const rows = Object.entries(json.properties).map(([field, schema]) => [
      code(field),
      code(shape(schema)),
      json.required.includes(field) ? '**needed**' : '',
      meaningOf(type, field),
    ]);
    lines.push(
      `### ${name}`,
      `${text.split(':')[0]}.${afterPayload(text)}`,
      table(['Field', 'Type', '', 'Meaning'], rows),
    );
  }
  lines.push(
    '## Queries',
    table(
      ['Query', 'Answers with', 'Meaning'],
      [
        [code('state'), '[`State`](state.md#state)', 'Where it stands, what it waits for, how to get out'],
        [
          code('plan'),
          '[`Plan`](state.md#plan), or null before it is made',
          'What it will do; its `hash` goes with approvals',
        ],
        [code('checks'), 'list of [`Check`](state.md#check)', 'The checklists so far'],
        [code('progress'), '[`Progress`](state.md#progress), or null', 'How far the running step is'],
      ],
    ),
    'Queries and Updates are answered by a worker. Without one they wait: `ferry` gives them 5 seconds.',
  );
  return lines.join('\n\n');
}

/** What a message's description says after its payload. */
function afterPayload(text) {
  const rest = text
    .slice(text.lastIndexOf('}') + 1)
    .replace(/^;[^.]*|^\.?\s*/, '')
    .replace(/^\.\s*/, '');
  return rest ? ` ${sentence(rest)}` : '';
}

function meaningOf(type, name) {
  for (let at = type; at; at = contract.get(at.base)) {
    const field = at.fields.find((each) => each.name === name);
    if (field?.says) return field.says;
  }
  return COMMON_FIELDS[name] ?? '';
}

// ── Failures ─────────────────────────────────────────────────────────────────────────────────────

function failures() {
  return [
    '# Failures',
    NOTE,
    'Every way an upgrade can fail has a type that stays the same. It stands in the Temporal UI, in `state.decision.problem` and in what `ferry` prints. The message of a failure says what and where; this table says what to do.',
    'Where trying again can help, it is tried again by itself before a person is asked.',
    table(
      ['Type', 'Tried again by itself', 'What to do'],
      Object.entries(FAILURES).map(([type, { retry, next }]) => [code(type), retry ? 'yes' : 'no', next]),
    ),
    'An upgrade that ends other than completed fails the workflow with one of these types, and the receipt as its details:',
    table(
      ['Type', 'Meaning'],
      [
        [code('RolledBack'), 'Everything done was undone'],
        [
          code('RollbackFailed'),
          'An undo failed, and a person ended it there; the receipt lists what is left',
        ],
        [code('Aborted'), 'A person stopped it on the way; the receipt lists what is left'],
      ],
    ),
  ].join('\n\n');
}

// ── CLI ──────────────────────────────────────────────────────────────────────────────────────────

function cli() {
  const program = buildProgram(newCli({ print: () => {}, warn: () => {} }));
  const width = { getOutHelpWidth: () => 100, getErrHelpWidth: () => 100, getOutHasColors: () => false };
  const help = (command) => {
    command.configureOutput(width);
    // Global options once, under the command itself.
    if (command !== program) command.configureHelp({ ...command.configureHelp(), showGlobalOptions: false });
    return ['```text', command.helpInformation().trimEnd(), '```'].join('\n');
  };
  return [
    '# The command `ferry`',
    NOTE,
    'ID is a whole workflow ID (`upgrade/redis/sessions`), or the name alone where only one upgrade has it.',
    help(program),
    '## Exit codes',
    table(
      ['Code', 'Meaning'],
      Object.entries(EXIT_MEANINGS).map(([number, meaning]) => [number, sentence(meaning)]),
    ),
    '`ferry state` tells the phase by it, `ferry receipt` the outcome. `ferry start` ends with 0 once it has started; with `--watch` or `--wait` it ends as the upgrade does. `--wait` ends as soon as somebody is asked, so that a script can do so:',
    [
      '```sh',
      'ferry start redisCopy --input sessions.json --wait',
      'case $? in 3) notify "please approve" ;; 0) echo done ;; esac',
      '```',
    ].join('\n'),
    '## Environment',
    table(
      ['Variable', 'Meaning'],
      [
        [
          '`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS_…`',
          "Where Temporal is, as for Temporal's own tools",
        ],
        ['`TEMPORAL_CONFIG_FILE`, `TEMPORAL_PROFILE`', "Temporal's configuration file and the profile in it"],
        ['`FERRY_TASK_QUEUE`', 'Queue that the workers poll; default `redis-ferry`'],
        ['`FERRY_BY`', 'Who speaks, where `--by` is not given'],
        [
          '`FERRY_HOME`',
          'Journals and receipts of a worker, and which plan you were last shown; default `~/.redis-ferry`',
        ],
        [
          '`FERRY_CODEC_KEYS`',
          'File of the keys that [encrypt](../encryption.md) what Temporal keeps, or `env:NAME`; nothing is encrypted by default',
        ],
        [
          '`FERRY_POSTGRES_BIN`',
          'Folder of `pg_dump` and `pg_restore` of a worker; by default those of `/usr/lib/postgresql` and PATH',
        ],
        ['`FERRY_METRICS`', 'Where a worker tells its metrics, as `127.0.0.1:9464`; nowhere by default'],
        ['`NO_COLOR`', 'No colours'],
        ['`FERRY_DEBUG`', 'Stack traces of unexpected errors'],
      ],
    ),
    '## Verbs',
    ...program.commands.flatMap((command) => [
      `### ferry ${command.name()}`,
      help(command),
      ...command.commands.map((one) => help(one)),
    ]),
  ].join('\n\n');
}

// ── State ────────────────────────────────────────────────────────────────────────────────────────

function state() {
  const lines = [
    '# State, plan and receipt',
    NOTE,
    'What the queries answer with, and what an upgrade leaves behind. Moments are ISO 8601 in UTC. From TypeScript: `import type { State } from "redis-ferry"`.',
    table(
      ['Phase', 'Meaning', 'Exit code of `ferry state`'],
      Object.entries(PHASES).map(([phase, [meaning, exit]]) => [code(phase), meaning, exit]),
    ),
  ];
  const phases = contract
    .get('Phase')
    .definition.match(/'(\w+)'/g)
    .map((each) => each.slice(1, -1));
  for (const phase of phases)
    if (!(phase in PHASES)) throw new Error(`scripts/docs.mjs does not say what phase ${phase} means`);
  const seen = new Set();
  const queue = ['State', 'Plan', 'Receipt'];
  while (queue.length > 0) {
    const name = queue.shift();
    if (seen.has(name)) continue;
    seen.add(name);
    const type = contract.get(name);
    lines.push(`## ${name}`, type.says);
    if (type.definition)
      lines.push(
        `One of ${type.definition
          .split('|')
          .map((each) => each.trim())
          .filter(Boolean)
          .map((each) => code(each.replaceAll("'", '"')))
          .join(', ')}.`,
      );
    else
      lines.push(
        table(
          ['Field', 'Type', 'Meaning'],
          type.fields.map((field) => [
            `${code(field.name)}${field.optional ? ' (may be missing)' : ''}`,
            linkTypes(field.type),
            field.says,
          ]),
        ),
      );
    const text = type.definition ?? [type.base, ...type.fields.map((field) => field.type)].join(' ');
    const named = [...text.matchAll(/\b[A-Z]\w+/g)]
      .map(([each]) => each)
      .filter((each) => contract.has(each) && each !== 'Phase');
    queue.unshift(...named.filter((each) => !seen.has(each)));
  }
  return lines.filter(Boolean).join('\n\n');
}

function linkTypes(type) {
  const names = [...type.matchAll(/\b[A-Z]\w+/g)]
    .map(([each]) => each)
    .filter((each) => contract.has(each) && each !== 'Phase')
    .filter(unique);
  const links = names.map((each) => `[${each}](#${each.toLowerCase()})`);
  return `${code(type.replaceAll("'", '"'))}${links.length > 0 ? ` ${links.join(', ')}` : ''}`;
}

/**
 * The exported interfaces and unions of the contract, with their comments. It reads the plain style of that file:
 * one field a line, its comment in the line above.
 */
function parseContract(text) {
  const types = new Map();
  let comment = '';
  let open = null;
  for (const line of text.split('\n')) {
    const trimmed = line.trim();
    const doc = /^\/\*\*\s*(.*?)\s*\*\/$/.exec(trimmed);
    const start = /^export interface (\w+)(?: extends (\w+))? \{(\})?$/.exec(trimmed);
    const union = /^export type (\w+) =\s*(.*?);?$/.exec(trimmed);
    const field = /^(\w+)(\?)?: (.+);$/.exec(trimmed);
    if (doc) {
      comment = doc[1];
      continue;
    }
    if (start) types.set(start[1], (open = { says: comment, base: start[2] ?? '', fields: [] }));
    else if (union)
      types.set(union[1], (open = { says: comment, base: '', fields: [], definition: union[2] }));
    else if (open?.definition !== undefined && trimmed.startsWith('|'))
      open.definition += ` ${trimmed.replace(/;$/, '')}`;
    else if (open && field)
      open.fields.push({ name: field[1], optional: field[2] === '?', type: field[3], says: comment });
    if (trimmed === '}' || (open?.definition !== undefined && trimmed.endsWith(';'))) open = null;
    comment = '';
  }
  return types;
}

// ── Markdown ─────────────────────────────────────────────────────────────────────────────────────

function row(cells) {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}

function table(headings, rows) {
  return [row(headings), row(headings.map(() => '---')), ...rows.map(row)].join('\n');
}

function code(text) {
  return `\`${text}\``;
}

function anchor(heading) {
  return heading
    .toLowerCase()
    .replace(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-');
}

function sentence(text) {
  return text && `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}

function lower(text) {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function unique(each, at, all) {
  return all.indexOf(each) === at;
}

/* The arrows between the rooms, and the runbook pages beside their strategies. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

const SRC = resolve('src');
const SHARED = ['contract.ts', 'errors.ts', 'inputs'];
/** Room → rooms it may import from, besides SHARED and itself. `type:` allows types only. */
const ARROWS: Record<string, string[]> = {
  'contract.ts': [],
  'errors.ts': [],
  inputs: [],
  workflows: ['runbook', 'receipt', 'type:activities'],
  runbook: ['receipt', 'type:activities'],
  activities: ['redis', 'heroku', 'kubernetes', 'repoint', 'platform', 'receipt', 'canary', 'postgres'],
  canary: ['redis', 'platform'],
  redis: [],
  repoint: ['redis', 'kubernetes', 'hokusai', 'platform'],
  platform: ['redis', 'heroku', 'kubernetes', 'hokusai', 'setup'],
  heroku: ['platform', 'redis', 'setup'],
  kubernetes: ['platform', 'redis'],
  postgres: ['platform', 'redis'],
  hokusai: ['kubernetes', 'platform', 'setup'],
  codec: ['platform'],
  metrics: ['activities', 'runbook'],
  receipt: ['platform'],
  setup: [],
};
/** Rooms that know nothing of Temporal. */
const WITHOUT_TEMPORAL = [
  'redis',
  'heroku',
  'kubernetes',
  'hokusai',
  'postgres',
  'canary',
  'repoint',
  'platform',
  'receipt',
  'inputs',
  'errors.ts',
];

interface Import {
  file: string;
  room: string;
  to: string;
  typeOnly: boolean;
}

function imports(): Import[] {
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  return files.flatMap((file) => {
    const text = readFileSync(join(SRC, file), 'utf8');
    return [...text.matchAll(/^(?:import|export)\s+(type\s)?[^;]*?from\s+'([^']+)'/gms)].map(
      ([, type, to]) => ({
        file,
        room: roomOf(file),
        to: to?.startsWith('.') ? relative(SRC, resolve(SRC, dirname(file), to)) : (to ?? ''),
        typeOnly: type !== undefined,
      }),
    );
  });
}

function roomOf(file: string): string {
  return (file.split('/')[0] ?? '').replace(/\.js$/, '.ts');
}

describe('structure', () => {
  const all = imports();
  test('there is something to look at', () => expect(all.length).toBeGreaterThan(200));

  test('imports follow the arrows', () => {
    const wrong = all.filter(({ file, room, to, typeOnly }) => {
      const allowed = ARROWS[room];
      if (!allowed || to.startsWith('@') || to.startsWith('node:') || !to.endsWith('.js')) return false;
      const target = roomOf(to);
      if (target === room || SHARED.includes(target)) return false;
      return !allowed.includes(target) && !(typeOnly && allowed.includes(`type:${target}`)) && file !== '';
    });
    expect(wrong.map(({ file, to }) => `${file} imports ${to}`)).toEqual([]);
  });

  test('no file imports itself by way of others', () => {
    const graph = new Map<string, string[]>();
    for (const { file, to } of all)
      if (to.endsWith('.js')) graph.set(file, [...(graph.get(file) ?? []), to.replace(/\.js$/, '.ts')]);
    const circles: string[] = [];
    const done = new Set<string>();
    const walk = (file: string, path: string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '));
      else if (!done.has(file)) {
        done.add(file);
        for (const next of graph.get(file) ?? []) walk(next, [...path, file]);
      }
    };
    for (const file of graph.keys()) walk(file, []);
    expect(circles).toEqual([]);
  });

  test('what is known of Redis and of the platform knows nothing of Temporal', () => {
    const wrong = all.filter(
      ({ room, to }) => WITHOUT_TEMPORAL.includes(room) && to.startsWith('@temporalio/'),
    );
    expect(wrong.map(({ file, to }) => `${file} imports ${to}`)).toEqual([]);
  });

  test('execa has one caller', () => {
    expect(new Set(all.filter(({ to }) => to === 'execa').map(({ file }) => file))).toEqual(
      new Set(['platform/exec.ts']),
    );
  });

  test.each([
    'redis-copy',
    'redis-switchover',
    'heroku-in-place',
    'heroku-fork',
    'helm-in-place',
    'helm-rolling',
    'helm-blue-green',
    'helm-dump-restore',
    'postgres-move',
    'provider-move',
    'rehearsal',
  ])('the steps of %s are the headings of its runbook page, in order', (strategy) => {
    const text = readFileSync(join(SRC, `workflows/${strategy}.ts`), 'utf8');
    const titles = [
      ...text.matchAll(/(?:r\.(step|checks|window|pointOfNoReturn|gate)|await backUp)\(\s*(['"])(.*?)\2/g),
    ].map(([, kind, , title]) => (kind === 'gate' ? `Gate: ${title}` : title));
    const headings = [...readFileSync(`docs/runbooks/${strategy}.md`, 'utf8').matchAll(/^## (.*)$/gm)].map(
      ([, heading]) => heading,
    );
    expect(headings).toEqual(titles);
  });
});

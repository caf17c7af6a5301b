/** Results for people: a table on the terminal, a dated page in docs/benchmarks/. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { described } from './data.js';
import type { Result } from './measure.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export function asTable(results: readonly Result[]): string {
  return results
    .map(({ name, rounds, medians, unit, ratios, exact, goals, more }) =>
      [
        `${name} (medians of ${rounds} rounds, ${unit})`,
        ...Object.entries(medians).map(([what, value]) => row(what, value.toLocaleString('en'))),
        ...Object.entries(ratios).map(([what, value]) => row(what, `${value}`)),
        ...Object.entries(more).map(([what, value]) => row(what, `${value}`)),
        ...(exact === null ? [] : [row('exact', exact ? 'yes' : 'NO')]),
        ...goals.map(({ says, met }) => `  ${met ? '✓' : '✗'} ${says}`),
        '',
      ].join('\n'),
    )
    .join('\n');
}

const row = (what: string, value: string): string => `  ${what.padEnd(44)} ${value.padStart(12)}`;

/** @returns its name */
export async function writePage(options: { results: readonly Result[]; keys: number }): Promise<string> {
  const { results, keys } = options;
  const now = new Date();
  const day = now.toISOString().slice(0, 10);
  const path = join(ROOT, 'docs', 'benchmarks', `${day}.md`);
  mkdirSync(dirname(path), { recursive: true });
  if (!existsSync(path)) writeFileSync(path, `# Benchmarks of ${day}\n`);
  const load = loadavg()[0] ?? 0;
  const text = [
    '',
    `## ${now.toISOString().slice(11, 16)} UTC`,
    '',
    `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, commit ${commit()}. Servers, tool and clients share the cores; the load average at the end was ${load.toFixed(1)}. Data set where nothing else is said: ${described(keys)}.`,
    ...results.flatMap(section),
    '',
  ];
  appendFileSync(path, text.join('\n'));
  return path;
}

function section({ name, rounds, medians, unit, ratios, exact, goals, more }: Result): string[] {
  return [
    '',
    `### ${name}`,
    '',
    `Medians of ${rounds} rounds${exact === null ? '' : exact ? '; verified exact' : '; **not exact**'}.`,
    '',
    '| what | figure |',
    '| --- | --- |',
    ...Object.entries(medians).map(([what, value]) => `| ${what} | ${value.toLocaleString('en')} ${unit} |`),
    ...Object.entries(ratios).map(([what, value]) => `| ${what} | ${value} |`),
    ...Object.entries(more).map(([what, value]) => `| ${what} | ${value} |`),
    '',
    ...goals.map(({ says, met }) => `- ${met ? 'reached' : '**missed**'}: ${says}`),
  ];
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

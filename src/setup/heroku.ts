/* The Heroku CLI, 395 MB: of npm, where there is none. */
import { join } from 'node:path';
import type { ProviderCli } from './provider-cli.js';
import { run, which } from './run.js';

/** What the project is tested with. */
const VERSION = '11.10.0';

export const HEROKU: ProviderCli = {
  title: 'Heroku CLI',
  program: 'heroku',
  variable: 'FERRY_HEROKU_CLI',
  pinned: VERSION,
  // `data:maintenances:*` is in the CLI itself since this one.
  oldest: '11.0.0',
  name: `heroku/${VERSION}-npm-1`,
  from: 'npm',
  spec: `heroku@${VERSION}`,
  update: `Update it (\`npm install --global heroku@${VERSION}\`)`,
  env: {
    DISABLE_TELEMETRY: 'true',
    HEROKU_SKIP_NEW_VERSION_CHECK: '1',
    HEROKU_DISABLE_AUTOUPDATE: '1',
    HEROKU_SKIP_ANALYTICS: '1',
    NO_COLOR: '1',
    FORCE_COLOR: '0',
    TERM: 'dumb',
  },
  asked: ['--version'],
  tells: /^heroku\/(\d+\.\d+\.\d+)/m,
  // By the Node.js that runs us: there may be none on PATH.
  commandIn: (folder) => [process.execPath, join(folder, 'node_modules', 'heroku', 'bin', 'run.js')],
  fill: fromNpm,
};

async function fromNpm(folder: string): Promise<void> {
  if (which('npm') === null) throw new Error('there is no `npm` to install the Heroku CLI with');
  const npm = await run(
    'npm',
    ['install', '--prefix', folder, '--save-exact', '--ignore-scripts', '--no-audit', '--no-fund'].concat([
      '--loglevel=error',
      '--fetch-retries=1',
      HEROKU.spec,
    ]),
    // Not of the package that the worker was started from.
    { cwd: folder, timeoutMs: 600_000 },
  );
  if (!npm.ok) throw new Error(`npm could not install ${HEROKU.spec}: ${npm.why}`);
}

import type { Command } from 'commander';
import type { Bucket } from '../../inputs/bucket.js';
import type { HistoryEntry } from '../../receipt/history.js';
import type { Cli } from '../cli.js';
import { CliError } from '../exit.js';

interface HistoryOptions {
  folder?: string;
  bucket?: string;
  endpoint?: string;
  region?: string;
  postgres?: string;
  target?: string;
  limit: string;
  json?: boolean;
  markdown?: boolean;
}

export function history(program: Command, cli: Cli): void {
  program
    .command('history')
    .description(
      'upgrades that have ended, from the receipts of this machine, of a bucket or of a database: when, how, from which version to which, downtime, outcome, who approved',
    )
    .option('--folder <path>', 'of receipts, as `history.folder` of an input names it (default: $FERRY_HOME)')
    .option('--bucket <s3://name/prefix>', 'of receipts, as `history.bucket` names it')
    .option('--endpoint <url>', 'where the bucket is, if not at AWS')
    .option(
      '--region <name>',
      "of the bucket; credentials are the AWS SDK's (AWS_ACCESS_KEY_ID, AWS_PROFILE …)",
    )
    .option(
      '--postgres <variable>',
      'of receipts, as `history.postgres` names it: an environment variable that holds the URL',
    )
    .option('--target <name>', 'of this target only')
    .option('--limit <number>', 'how many at most', '50')
    .option('--json', 'for programs')
    .option('--markdown', 'as UPGRADE_HISTORY.md has it')
    .action(async (options: HistoryOptions) => {
      const [{ paragraphOf }, { historyLines }] = await Promise.all([
        import('../../receipt/history.js'),
        import('../history.js'),
      ]);
      const { shown: place, entries: all } = await read(options);
      const limit = Math.max(1, Number.parseInt(options.limit, 10) || 50);
      const shown = all
        .filter(({ name, workflowId }) => [name, workflowId, undefined].includes(options.target))
        .slice(0, limit);
      if (options.json === true) cli.io.print(JSON.stringify(shown, null, 2));
      else if (shown.length === 0) cli.io.print(`No upgrade has ended by the receipts in ${place}.`);
      else if (options.markdown === true) cli.io.print(shown.map(paragraphOf).join('\n').trimEnd());
      else cli.io.print(historyLines(shown, cli.io.colours).join('\n'));
    });
}

interface Read {
  shown: string;
  entries: HistoryEntry[];
}

/** Where they say. @throws CliError */
async function read(options: HistoryOptions): Promise<Read> {
  const { folder, bucket, endpoint, region, postgres } = options;
  const places = [folder, bucket, postgres].filter((place) => place !== undefined);
  if (places.length > 1) throw new CliError('Give one of --folder, --bucket and --postgres.');
  if (bucket === undefined && (endpoint !== undefined || region !== undefined))
    throw new CliError('--endpoint and --region are of a bucket: give --bucket too.');
  if (bucket !== undefined) return fromBucket({ bucket, endpoint, region });
  return postgres === undefined ? fromFolder(folder) : fromPostgres(postgres);
}

async function fromFolder(given: string | undefined): Promise<Read> {
  const [{ ferryHome }, { readHistory }] = await Promise.all([
    import('../../platform/home.js'),
    import('../../receipt/write.js'),
  ]);
  const folder = given ?? ferryHome();
  const entries = await readHistory(folder).catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new CliError(`There are no receipts in ${folder} (${code}).`, {
      next: ['Give --folder the folder that `history.folder` of the inputs names.'],
      cause: error,
    });
  });
  return { shown: folder, entries };
}

async function fromBucket(given: {
  bucket: string;
  endpoint: string | undefined;
  region: string | undefined;
}): Promise<Read> {
  const [schemas, { readBucketHistory }] = await Promise.all([
    import('../../inputs/bucket.js'),
    import('../../receipt/bucket.js'),
  ]);
  const [, name = '', prefix] = /^(?:s3:\/\/)?([^/]+)(?:\/(.*?))?\/?$/.exec(given.bucket) ?? [];
  const parsed = schemas.Bucket.safeParse({
    bucket: name,
    ...(prefix ? { prefix } : {}),
    ...(given.endpoint === undefined ? {} : { endpoint: given.endpoint }),
    ...(given.region === undefined ? {} : { region: given.region }),
  });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new CliError(`--${issue?.path.join('.') || 'bucket'} ${issue?.message ?? 'can not be read'}.`, {
      next: ['It looks like --bucket s3://ops-receipts/redis-ferry'],
    });
  }
  const bucket: Bucket = parsed.data;
  return { shown: schemas.shownBucket(bucket), entries: await reading(() => readBucketHistory(bucket)) };
}

async function fromPostgres(variable: string): Promise<Read> {
  const [{ resolveDatabase }, { receiptTexts }, { shown }, { receiptIn }, { entryOf }] = await Promise.all([
    import('../../postgres/resolve.js'),
    import('../../postgres/receipts.js'),
    import('../../postgres/address.js'),
    import('../../receipt/write.js'),
    import('../../receipt/history.js'),
  ]);
  return reading(async () => {
    const address = await resolveDatabase({ endpoint: { env: variable }, where: '--postgres' });
    const receipts = (await receiptTexts({ address, name: 'ferry history' })).map(receiptIn);
    return { shown: shown(address), entries: receipts.filter((each) => each !== null).map(entryOf) };
  });
}

/** @throws CliError with what to do next */
async function reading<T>(read: () => Promise<T>): Promise<T> {
  const { FAILURES, FerryError } = await import('../../errors.js');
  return read().catch((error: unknown) => {
    if (!(error instanceof FerryError)) throw error;
    throw new CliError(`${error.message}.`, { next: [FAILURES[error.type].next], cause: error });
  });
}

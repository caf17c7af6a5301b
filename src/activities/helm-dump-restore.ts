/** A snapshot of the old release, taken while nobody writes, becomes the data of a new one. */
import { copyBetween, type HelmDumpRestoreSettings } from '../inputs/helm-dump-restore.js';
import type { Backup } from '../inputs/backup.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { fetchFile } from '../kubernetes/fetch-file.js';
import { kubectl } from '../kubernetes/kubectl.js';
import { describeRelease, type ReleaseFacts } from '../kubernetes/release.js';
import type { DataFiles } from '../kubernetes/restore-volume.js';
import { scale } from '../kubernetes/rollout.js';
import { FerryError } from '../errors.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { checkRdb } from '../redis/backup/rdb.js';
import type { BackupFile } from '../redis/backup/take.js';
import { fenceBefore } from '../redis/fence.js';
import { countKeys } from '../redis/keyspace.js';
import { holdOf } from '../redis/preflight/index.js';
import { productOf } from '../redis/preflight/check.js';
import { atLeast } from '../redis/info.js';
import { saveNow } from '../redis/save.js';
import { atEndpoint, formatsAt, onServer } from './asking.js';
import { intoFolder } from './backing-up.js';
import { border, type Border } from './border.js';
import { foreseenServer, secondFacts, type GreenRelease, type SecondFacts } from './helm-second.js';
import { filesOf, intoVolume } from './helm-volume.js';
import { databasesOf, inWords, type Pair, type Ways } from './looking.js';

export interface DumpRestoreFacts extends SecondFacts {
  /** What both servers will be, as far as that can be told before there is a second one. */
  pair: Pair;
}

/** @throws FerryError what describeHelm throws, and where the second release can't be rendered */
export async function describeDumpRestore(input: {
  settings: HelmDumpRestoreSettings;
}): Promise<DumpRestoreFacts> {
  return border(async (b) => {
    const found = await secondFacts(b, input.settings);
    return { ...found, pair: await foreseen(b, found, input.settings) };
  });
}

async function foreseen(
  b: Border<unknown>,
  found: SecondFacts,
  input: HelmDumpRestoreSettings,
): Promise<Pair> {
  const { helm, endpoints, repoint } = found;
  const source = helm.servers[helm.primary];
  if (!source) throw new FerryError('Unclear', 'the primary was not asked');
  const target = foreseenServer(found, input.targetVersion);
  const settings = copyBetween(input, { source: endpoints.blue, target: endpoints.green, repoint });
  const address = await resolveEndpoint({ endpoint: endpoints.blue, where: helm.primary, signal: b.signal });
  const databases = databasesOf({ settings, source, target });
  const hold = holdOf({ source, target, settings, databases });
  const fence = hold.fence === null ? null : await onServer(b, address, (client) => fenceBefore({ client }));
  const older = !atLeast(target.redisVersion, source.redisVersion);
  const byFormat = (than: string, it: string) => `${it} may not read what ${than} writes`;
  const [old, next] = [productOf(source), productOf(target)];
  const way = (value: boolean, because: string): Ways['forward'] =>
    value ? { chosen: 'value', because } : { chosen: 'dump', because: '' };
  return {
    source,
    target,
    formats: { source: await formatsAt(b, address), target: { accepts: null, highest: null } },
    ways: {
      forward: way(older, byFormat(old, next)),
      back: way(!older, byFormat(next, old)),
      noWayBackFor: [],
      functionsStay: '',
    },
    databases,
    hold,
    others: [],
    fence,
    // A pod's commands are run in it: the address is not used.
    ...inWords({ settings, source: address, target: address, databases, fence }),
  };
}

/** Where the new release has its data. */
export interface GreenVolume {
  release: ReleaseFacts;
  files: DataFiles;
}

export async function lookAtVolume(input: { green: GreenRelease }): Promise<GreenVolume> {
  return border(async (b) => {
    const { namespace, context, green, endpoints } = input.green;
    const release = await describeRelease({ namespace, context, release: green, signal: b.signal });
    const files = await atEndpoint(b, { endpoint: endpoints.green, where: green }, (client) =>
      filesOf(client, release.statefulSet.dataPath ?? '/data'),
    );
    return { release, files };
  });
}

export interface Snapshot {
  folder: string;
  file: BackupFile;
  /** As the file says. */
  rdbVersion: number;
  checksum: 'right' | 'off';
  keys: number;
  /** Those that don't expire. */
  lasting: number;
  seconds: number;
}

const RDB = 'dump.rdb';

/**
 * Everything that the server holds, while nobody writes: saved to its disk until that has really ended, brought to the worker, and checked
 * there. Not by replication: a fenced 6.0 feeds nobody.
 */
export async function takeSnapshot(input: {
  release: Pick<ReleaseFacts, 'namespace' | 'context' | 'statefulSet'>;
  pod: string;
  endpoint: RedisEndpoint;
  backup: Backup;
  /** Title, for the progress. */
  step: string;
}): Promise<Snapshot> {
  return border(async (b) => {
    const { release, pod, endpoint, backup, step } = input;
    const { namespace, context, statefulSet } = release;
    const began = Date.now();
    const address = await resolveEndpoint({ endpoint, where: pod, signal: b.signal });
    const files = await onServer(b, address, async (client) => {
      await saveNow({
        client,
        signal: b.signal,
        onLook: (seconds) => b.show({ step, done: seconds, total: 0, unit: 'seconds', counts: {} }),
      });
      return filesOf(client, statefulSet.dataPath ?? '/data');
    });
    const { keys, lasting } = await countKeys({ address, name: b.hand, signal: b.signal });
    return intoFolder(b, { backup, kind: 'snapshot' }, async (folder) => {
      const { bytes } = await fetchFile({
        namespace,
        context,
        pod,
        container: statefulSet.container,
        path: `${files.dir}/${files.dbfilename}`,
        to: folder.at(RDB),
        signal: b.signal,
      });
      const rdb = await checkRdb({
        chunks: folder.read(RDB),
        expected: bytes,
        onProgress: (done) => {
          b.signal.throwIfAborted();
          b.show({ step, done, total: bytes, unit: 'bytes', counts: {} });
        },
      });
      return {
        folder: folder.folder,
        file: { name: RDB, bytes: rdb.bytes, sha256: rdb.sha256 },
        rdbVersion: rdb.rdbVersion,
        checksum: rdb.checksum,
        keys,
        lasting,
        seconds: Math.round((Date.now() - began) / 100) / 10,
      };
    });
  });
}

/** The snapshot stands in the volume of the first pod, as that server keeps its data, and its pods are asked for again. */
export async function restoreGreen(input: {
  green: GreenRelease;
  volume: GreenVolume;
  rdb: { path: string; sha256: string };
}): Promise<{ aside: string; seconds: number }> {
  return border(async (b) => {
    const { green, volume, rdb } = input;
    const { namespace, context, statefulSet } = volume.release;
    const began = Date.now();
    const { aside } = await intoVolume(b, {
      namespace,
      context,
      statefulSet: statefulSet.name,
      pods: green.pods,
      claim: statefulSet.claims[0] ?? '',
      image: statefulSet.image,
      securityContext: statefulSet.securityContext,
      files: volume.files,
      rdb,
    });
    await b.stillCurrent();
    const where = { namespace, context, signal: b.signal };
    await scale({ ...where, statefulSet: statefulSet.name, replicas: statefulSet.replicas });
    return { aside, seconds: Math.round((Date.now() - began) / 100) / 10 };
  });
}

/** What an empty server had set aside is of no use. Harmless when it is gone. */
export async function tidyVolume(input: {
  green: GreenRelease;
  volume: GreenVolume;
  aside: string;
}): Promise<null> {
  return border(async (b) => {
    const { release } = input.volume;
    await kubectl({
      namespace: release.namespace,
      context: release.context,
      signal: b.signal,
      changes: true,
      args: [
        'exec',
        input.green.pods[0] ?? '',
        '-c',
        release.statefulSet.container,
        '--',
        'rm',
        '-rf',
        input.aside,
      ],
    });
    return null;
  });
}

/**
 * A backup put into a volume, for a server that isn't running: by a server of the same version on that very volume, which writes its own
 * files. So it comes up by its own configuration, with RDB or AOF alike.
 *
 * What stood there is set aside on the volume itself, and nothing of it is removed. Never by a copy beside a running server: at its
 * end it saves what it has over the copied file (measured: 0 keys), and with AOF on it does not even look at it.
 */
import { createReadStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../errors.js';
import { sha256Of } from '../platform/files.js';
import { kubectl, type Namespace } from './kubectl.js';
import { podReady } from './rollout.js';

/** How a server keeps its files on its volume. */
export interface DataFiles {
  /** Where the volume is mounted, and where below it the files are: the same, as a rule. */
  mountPath: string;
  dir: string;
  dbfilename: string;
  /** Null: AOF is off. */
  aof: { appendfilename: string; appenddirname: string | null } | null;
}

export interface VolumeRestore extends Namespace {
  /** Names the pod and the folder of what is set aside: the same for each attempt. */
  id: string;
  claim: string;
  /** Of the version that is to read it. */
  image: string;
  /** Of the pods' template: who may write to the volume. */
  securityContext: Record<string, unknown>;
  files: DataFiles;
  /** The RDB on the worker, with its SHA-256. */
  rdb: { path: string; sha256: string };
  signal: AbortSignal;
  onStep?: (what: string) => void;
}

const POD_WITHIN_MS = 2 * 60_000;
const LOADS_WITHIN = '30m';

/** Repeated, it begins anew, unless an attempt has come to its end. Nobody else may use the volume meanwhile. @throws FerryError */
export async function restoreVolume(on: VolumeRestore): Promise<{ aside: string }> {
  const { namespace, context, id, files, signal, rdb, onStep } = on;
  const where = { namespace, context, signal };
  const pod = `ferry-restore-${id}`;
  const aside = `${files.dir}/ferry-aside-${id}`;
  if ((await sha256Of(rdb.path)) !== rdb.sha256)
    throw new FerryError('FileFailed', `${rdb.path} is not the backup that was taken: it has changed since`);
  const exec = (
    script: string,
    more: { input?: Parameters<typeof kubectl>[0]['input']; timeout?: string } = {},
  ) =>
    kubectl({
      ...where,
      ...more,
      // What goes over begins anew in another try, and takes long: it may be cut off.
      changes: more.input === undefined,
      args: ['exec', pod, ...(more.input === undefined ? [] : ['-i']), '--', 'sh', '-ec', script],
    });
  await remove(where, pod);
  await kubectl({
    ...where,
    changes: true,
    args: ['create', '-f', '-'],
    input: JSON.stringify(podOf(on, pod)),
  });
  try {
    onStep?.('a pod on the volume');
    await podReady({ ...where, pod, container: 'restore', withinMs: POD_WITHIN_MS });
    const done = await exec(`test -e ${quote(`${aside}/.restored`)} && echo yes || echo no`);
    if (done.trim() === 'yes') return { aside };
    onStep?.('what stood there is set aside');
    await exec(setAside({ aside, files }));
    onStep?.('the backup goes over');
    const file = quote(`${files.dir}/${files.dbfilename}`);
    const sum = await exec(
      // Where the volume is full the rest is read all the same: kubectl mostly hangs where what it sends is not (20 of 25 times, with 1.34).
      `cat > ${file} || { cat > /dev/null; exit 1; }; sha256sum ${file}`,
      { input: createReadStream(rdb.path), timeout: LOADS_WITHIN },
    );
    if (!sum.startsWith(rdb.sha256))
      throw new FerryError('BackupFailed', 'the backup did not arrive as it was sent: its checksum differs');
    if (files.aof) {
      onStep?.('it is loaded, and its append-only files are written');
      await exec(asAof(files), { timeout: LOADS_WITHIN });
    }
    await exec(`touch ${quote(`${aside}/.restored`)}; sync`);
    return { aside };
  } finally {
    await remove({ namespace, context }, pod);
  }
}

async function remove(where: Namespace & { signal?: AbortSignal }, pod: string): Promise<void> {
  await kubectl({
    ...where,
    changes: true,
    timeout: '60s',
    args: ['delete', 'pod', pod, '--ignore-not-found', '--grace-period', '0', '--force', '--wait=true'],
  });
  await sleep(200);
}

function podOf({ id, claim, image, securityContext, files }: VolumeRestore, name: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    // No label of the release: no Service may lead here.
    metadata: { name, labels: { 'app.kubernetes.io/managed-by': 'redis-ferry', 'redis-ferry/restore': id } },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      securityContext,
      containers: [
        {
          name: 'restore',
          image,
          imagePullPolicy: 'IfNotPresent',
          command: ['sh', '-c', 'while true; do sleep 3600; done'],
          volumeMounts: [{ name: 'data', mountPath: files.mountPath }],
        },
      ],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: claim } }],
    },
  };
}

/** Those of the former server go aside once; after that, what stands there is half a restore of ours. */
function setAside({ aside, files }: { aside: string; files: DataFiles }): string {
  const names = [
    files.dbfilename,
    ...(files.aof
      ? [files.aof.appendfilename, ...(files.aof.appenddirname ? [files.aof.appenddirname] : [])]
      : []),
    // As a newer version calls it by default.
    'appendonlydir',
  ];
  const each = [...new Set(names)].map(quote).join(' ');
  return [
    `cd ${quote(files.dir)}`,
    `mkdir -p ${quote(aside)}`,
    `if [ -e ${quote(`${aside}/.complete`)} ]; then rm -rf ${each}`,
    `else for f in ${each}; do if [ -e "$f" ]; then mv "$f" ${quote(aside)}/; fi; done; touch ${quote(`${aside}/.complete`)}; fi`,
  ].join('\n');
}

/** Loads the RDB without AOF, switches that on, and waits until all of it is written. */
function asAof({ dir, dbfilename, aof }: DataFiles): string {
  const port = 16_379;
  const cli = `redis-cli -h 127.0.0.1 -p ${port}`;
  const settings = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    quote(dir),
    '--dbfilename',
    quote(dbfilename),
    '--save',
    '""',
    '--appendonly',
    'no',
    ...(aof ? ['--appendfilename', quote(aof.appendfilename)] : []),
    ...(aof?.appenddirname ? ['--appenddirname', quote(aof.appenddirname)] : []),
    '--logfile',
    '/tmp/ferry-restore.log',
    '--pidfile',
    '/tmp/ferry-restore.pid',
    '--daemonize',
    'yes',
  ].join(' ');
  return [
    `redis-server ${settings}`,
    `until [ "$(${cli} PING 2>/dev/null)" = PONG ]; do sleep 0.2; if [ -s /tmp/ferry-restore.pid ] && ! kill -0 "$(cat /tmp/ferry-restore.pid)" 2>/dev/null; then tail -n 3 /tmp/ferry-restore.log >&2; exit 1; fi; done`,
    `${cli} CONFIG SET appendonly yes | grep -q OK`,
    `until ${cli} INFO persistence | tr -d '\\r' | grep -q '^aof_rewrite_in_progress:0' && ${cli} INFO persistence | tr -d '\\r' | grep -q '^aof_rewrite_scheduled:0'; do sleep 0.2; done`,
    `${cli} INFO persistence | tr -d '\\r' | grep -q '^aof_last_bgrewrite_status:ok'`,
    `${cli} SHUTDOWN NOSAVE || true`,
    `while ${cli} PING >/dev/null 2>&1; do sleep 0.2; done`,
  ].join('\n');
}

function quote(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

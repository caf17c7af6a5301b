/** What `helmDumpRestore` says, and the plain data that its steps share. */
import type { DumpRestoreFacts, GreenVolume, Snapshot } from '../activities/helm-dump-restore.js';
import type { Pair } from '../activities/looking.js';
import type { Sides } from '../activities/sides.js';
import type { Stopped, Stopping } from '../activities/stopping.js';
import type { SwitchBackInput, SwitchInput, SwitchOutcome } from '../activities/switching.js';
import type { Check } from '../contract.js';
import type { HelmDumpRestoreSettings } from '../inputs/helm-dump-restore.js';
import { milliseconds } from '../inputs/refs.js';
import type { Repoint } from '../inputs/repoint.js';
import { decisionMatrix } from './helm-words.js';
import { FENCES, nameOf, waysOf } from './redis-copy-words.js';
import { megabytes } from './redis-switchover-words.js';

export * from './helm-second-words.js';
export { comparison, servers, sidesOf, stragglers, switchBackByHand } from './redis-copy-words.js';

/** How the data goes over: as a file where the new server reads it and keeps it on a volume, else key by key. */
export interface How {
  file: boolean;
  /** Why it goes key by key; empty where it does not. */
  because: string;
}

export function howOf(
  pair: Pick<Pair, 'ways'> & { target: { shown: string } },
  { green }: { green: { claims: readonly string[] } },
): How {
  const { chosen, because } = waysOf(pair).forward;
  if (chosen !== 'dump') return { file: false, because };
  return green.claims.length > 0
    ? { file: true, because: '' }
    : { file: false, because: `${pair.target.shown} has no volume that a file could be put into` };
}

export function restoreSays({ file, because }: How): string {
  return file ? 'its RDB file is restored into the volume' : `key by key (${because})`;
}

export function ofRelease({ helm }: DumpRestoreFacts): { namespace: string; release: string } {
  return { namespace: helm.release.namespace, release: helm.release.release };
}

export function stopping(found: DumpRestoreFacts): Stopping {
  const { fence } = found.pair;
  return {
    endpoint: found.endpoints.blue,
    // Pre-flight fails where there is none.
    fence: fence ?? { kind: 'min-replicas', settings: {} },
    of: ofRelease(found),
  };
}

/** What a rule of the nodes may take to follow a Service, and a client to come back once more. */
const LATE_MS = 3_000;

export function switching(
  found: DumpRestoreFacts,
  on: { input: HelmDumpRestoreSettings; sides: Sides; stopped: Stopped | null },
): SwitchInput {
  const { input, sides, stopped } = on;
  return {
    sides,
    name: input.name,
    repoint: found.repoint,
    pauseMs: null,
    fence: stopping(found).fence,
    lateMs: LATE_MS,
    of: ofRelease(found),
    ...(stopped ? { stopped } : {}),
  };
}

/** The same the other way round, with every write made since: writes go on at the new one until its last ones are carried. */
export function switchingBack(
  forward: SwitchInput,
  on: { pair: Pair; input: HelmDumpRestoreSettings; result: SwitchOutcome | null; keep: string[] },
): SwitchBackInput {
  const { pair, input, result, keep } = on;
  const { stopped: _, ...rest } = forward;
  return {
    ...rest,
    pauseMs: pair.target.can.pauseWrites ? milliseconds(input.maxPause) : null,
    sourceRunId: pair.source.runId,
    switched: result === null ? null : { targetRunId: result.targetRunId },
    keepWrites: true,
    keepSteps: keep,
    retires: true,
  };
}

export function stopSays({ source, fence }: Pair): string[] {
  return [
    `fence ${source.shown}, so that it refuses every write (${fence ? FENCES[fence.kind] : 'not possible'}); reads go on`,
    'from here on until the cutover applications get an error for each write',
  ];
}

export function snapshotSays({ source }: Pair): string[] {
  return [
    `save ${source.shown} to its disk (BGSAVE) until that has really ended, and bring the RDB file to the worker; check its length and checksum`,
  ];
}

export function intoSays({ target }: Pair, { green }: DumpRestoreFacts): string[] {
  return [
    `scale ${green.statefulSet} to 0, and put the RDB file into the volume of ${green.pods[0] ?? ''}: loaded with AOF off, which is then written of it where ${target.shown} keeps one`,
    `scale ${green.statefulSet} up again`,
  ];
}

export function copySays(pair: Pair, { because }: How): string[] {
  const way = waysOf(pair).forward.chosen === 'dump' ? 'by DUMP and RESTORE' : 'by value';
  return [
    `copy every key of every database from ${pair.source.shown} to ${pair.target.shown} ${way}, with its exact expiry, and the function libraries (${because})`,
    'save the new one to its volume (BGSAVE) until that has really ended, where it saves',
  ];
}

export function switchSays({ source, target, repointSays }: Pair): string[] {
  return [
    `look once more that ${source.shown} has refused writes since the snapshot`,
    `send the applications from ${nameOf(source)} at ${source.shown} to ${nameOf(target)} at ${target.shown}`,
    ...repointSays.map((line) => line.charAt(0).toLowerCase() + line.slice(1)),
    "close the applications' old connections; their writes are taken again from here on",
  ];
}

/** Which way back there is at which time, how long it takes, what is lost by it. */
export function waysBack({ helm, green, pair }: DumpRestoreFacts): string[] {
  const old = helm.release.shown;
  const back = waysOf(pair).back.chosen === 'dump' ? 'by DUMP and RESTORE' : 'by value';
  return decisionMatrix([
    {
      when: 'before writes are stopped',
      how: `${green.release} is uninstalled`,
      takes: 'a minute',
      loses: 'nothing is lost, and the applications notice nothing',
    },
    {
      when: 'while writes are stopped',
      how: `the fence of ${old} is lifted, then ${green.release} is uninstalled`,
      takes: 'seconds until writes go on',
      loses: 'nothing is lost',
    },
    {
      when: 'after the cutover, until the decommission',
      how: `what was written at ${green.release} since is carried to ${old} ${back} and compared, its last part while writes wait, and the applications are sent back`,
      takes: 'about as long as the comparison took',
      loses: 'nothing is lost',
    },
    {
      when: `after the cutover, where ${green.release} was restarted, or can not be reached`,
      how: 'the applications are sent back by hand, with the break-glass card',
      takes: 'minutes',
      loses:
        'the writes made since the cutover are lost, unless they are carried over by redisCopy afterwards',
    },
    {
      when: 'after the decommission',
      how: 'redisCopy into a release of the old version, or its backup',
      takes: 'as long as a copy',
      loses: 'by redisCopy nothing is lost; by the backup the writes made since it',
    },
  ]);
}

/** Bytes a second: about half of what a usual volume and network give. */
const CARRIES = 25 * 1024 * 1024;
const PODS_MS = 60_000;

/** About how long writes will be stopped: saved, carried, loaded and compared one after the other. */
export function stopsForMs({ pair }: DumpRestoreFacts): number {
  return PODS_MS + Math.round((pair.source.usedMemory * 2 * 1_000) / CARRIES);
}

const TARGET_MS = 10 * 60_000;

export function ownChecks(found: DumpRestoreFacts, input: HelmDumpRestoreSettings): Check[] {
  const { pair, green } = found;
  const how = howOf(pair, found);
  const ms = stopsForMs(found);
  const same = pair.source.version === input.targetVersion;
  return [
    {
      name: 'Version',
      status: same ? 'fail' : how.file || green.claims.length === 0 ? 'pass' : 'warn',
      expected: 'another one',
      actual: `${nameOf(pair.source)} → ${input.targetVersion}; ${restoreSays(how)}`,
      waivable: false,
      ...(same
        ? { next: 'It runs already. Give another `targetVersion`.' }
        : how.file || green.claims.length === 0
          ? {}
          : {
              next: 'What the older version has no place for is looked for before writes are stopped. Rehearse it with the application.',
            }),
    },
    {
      name: 'Writes can be stopped',
      status: pair.fence ? 'pass' : 'fail',
      expected: 'a fence that refuses every write',
      actual: pair.fence ? FENCES[pair.fence.kind] : pair.hold.why,
      waivable: false,
      ...(pair.fence ? {} : { next: 'Grant CONFIG to the user, or use helmBlueGreen.' }),
    },
    {
      name: 'Writes are stopped for less than 10 minutes',
      status: ms < TARGET_MS ? 'pass' : 'warn',
      expected: 'less than 10 minutes',
      actual: `about ${minutes(ms)}, for ${megabytes(pair.source.usedMemory)}; and what people take at the gate "cutover"`,
      waivable: true,
      ...(ms < TARGET_MS
        ? {}
        : { next: 'Use helmBlueGreen, which stops them for less than a second, or announce it.' }),
    },
  ];
}

function minutes(ms: number): string {
  return ms < 90_000 ? `${Math.round(ms / 1_000)} s` : `${Math.round(ms / 60_000)} minutes`;
}

export function snapshotNote({ file, seconds, keys, checksum }: Snapshot): string {
  return `${keys.toLocaleString('en')} keys, ${megabytes(file.bytes)} in ${seconds} s, ${checksum === 'right' ? 'checksum right' : 'without a checksum (rdbchecksum no)'}`;
}

export function forReceipt({ folder, file, rdbVersion, keys }: Snapshot): Record<string, unknown> {
  return { folder, ...file, rdbVersion, keys };
}

/** `now`: milliseconds since 1970. */
export function cutoverQuestion(
  pair: Pair,
  on: { stopped: Stopped | null; now: number; decideWithin: string },
): string {
  const { stopped, now, decideWithin } = on;
  const since = stopped
    ? `Writes have been refused for ${Math.round((now - stopped.at) / 1_000)} s, since ${new Date(stopped.at).toISOString()}, and are until this is answered. `
    : 'Writes are refused until this is answered. ';
  return `${since}Switch the applications over to ${pair.target.shown}? Without an answer within ${decideWithin} it goes back, with nothing lost.`;
}

/** As far as it can be said of a release that there is not yet. */
export function volumeForeseen({ helm, green }: DumpRestoreFacts): GreenVolume {
  const { release } = helm;
  const dir = release.statefulSet.dataPath ?? '/data';
  return {
    release: { ...release, release: green.release },
    files: { mountPath: dir, dir, dbfilename: 'dump.rdb', aof: null },
  };
}

export function stoppedSays({ writePauseMs }: SwitchOutcome): string {
  return writePauseMs === null
    ? 'finished by a later attempt'
    : `writes were stopped for ${(writePauseMs / 1_000).toFixed(1)} s`;
}

export function backTakes(pair: Pair): string {
  const { noWayBackFor } = waysOf(pair);
  return `about as long as the comparison took; writes wait for a moment${noWayBackFor.length > 0 ? ` (${noWayBackFor.join(', ')} would stop it, with nothing lost)` : ''}`;
}

/** Where applications are told otherwise than by Services, these are left as they were. */
export function ofService({ kind }: Repoint, checks: Check[]): Check[] {
  return kind === 'kubernetesService'
    ? checks
    : checks.filter(({ name }) => name !== 'The Service leads there');
}

/** A release in trouble: what can be found by reading alone, each with what shows it and what to do next. */
import type { Finding } from '../contract.js';
import { FerryError } from '../errors.js';
import { history, pendingSays, type Release } from './helm.js';
import { getJson, kubectl } from './kubectl.js';
import { isReady, Pods, type Container, type Pod } from './objects.js';
import { redisContainer } from './release.js';
import { lookAtPod } from './why.js';

export interface ReleaseTrouble {
  findings: Finding[];
  /** Pods of the release whose server can be asked, with its container. */
  reachable: { pod: string; container: Container }[];
}

/** @throws FerryError NotFound where there is neither such a release nor a pod of it */
export async function troubleOf(on: Release): Promise<ReleaseTrouble> {
  const { namespace, context, release, signal } = on;
  const where = { namespace, context, signal };
  const findings: Finding[] = [];
  const revisions = await history(on).catch((error: unknown) => {
    if (!(error instanceof FerryError)) throw error;
    findings.push({
      what: 'Release',
      says: `the release ${namespace}/${release} can not be read`,
      evidence: [error.message],
      next: 'Look with `helm list --all -n ' + namespace + '` whether it is there, and under which name.',
      lasting: true,
    });
    return [];
  });
  findings.push(...ofRevisions(on, revisions));
  const { items } = await getJson({
    ...where,
    what: ['pods', '-l', `app.kubernetes.io/instance=${release}`],
    schema: Pods,
  });
  if (items.length === 0 && revisions.length === 0) {
    const said = findings[0]?.evidence[0] ?? 'it has no revision';
    throw new FerryError(
      'NotFound',
      `there is no release ${namespace}/${release}, and no pod of it (${said}). \`helm list --all -n ${namespace}\` names those that are there`,
    );
  }
  if (items.length === 0)
    findings.push({
      what: 'Pods',
      says: 'the release has no pod',
      evidence: [`no pod has the label app.kubernetes.io/instance=${release}`],
      next: 'Look at its StatefulSet: is it scaled to 0? Its claims hold the data; scale it up again.',
      lasting: true,
    });
  const reachable: ReleaseTrouble['reachable'] = [];
  for (const pod of items) {
    const container = redisContainer(pod.spec.containers);
    if (isReady(pod)) {
      reachable.push({ pod: pod.metadata.name, container });
      findings.push(...(await ofRestarts(on, pod, container.name)));
      continue;
    }
    const look = await lookAtPod({ ...where, pod: pod.metadata.name, container: container.name });
    findings.push(
      ...look.findings.map((finding) => ({ ...finding, says: `${pod.metadata.name}: ${finding.says}` })),
    );
    if (look.findings.length === 0)
      findings.push({
        what: 'Pod',
        says: `${pod.metadata.name} is not ready: ${look.standing}`,
        evidence: [`phase ${pod.status.phase}`],
        next: 'Wait a moment: it may be loading its data. If it stays so, read its log.',
        lasting: false,
      });
    // It runs, and may answer all the same.
    if (pod.status.phase === 'Running' && pod.status.containerStatuses.some(({ state }) => state.running))
      reachable.push({ pod: pod.metadata.name, container });
  }
  return { findings, reachable };
}

function ofRevisions(
  { namespace, release }: Release,
  revisions: Awaited<ReturnType<typeof history>>,
): Finding[] {
  const last = revisions.at(-1);
  if (!last || last.status === 'deployed') return [];
  const good = revisions.findLast(({ status }) => status === 'deployed' || status === 'superseded');
  const back = good
    ? `helm rollback ${release} ${good.revision} -n ${namespace}`
    : 'there is no good revision';
  return [
    {
      what: 'Revision',
      says: `its last revision (${last.revision}) is ${last.status}`,
      evidence: [last.description],
      next: last.status.startsWith('pending-')
        ? pendingSays({ namespace, release })
        : `Go back to the last good one: \`${back}\`. A pod that does not come up is not replaced by that: delete that pod afterwards (its claim stays).`,
      lasting: true,
    },
  ];
}

/** Ready now, and ended before: its last end says why. */
async function ofRestarts(on: Release, pod: Pod, container: string): Promise<Finding[]> {
  const status = pod.status.containerStatuses.find(({ name }) => name === container);
  const ended = status?.lastState.terminated;
  if (!status || status.restartCount === 0 || !ended) return [];
  const words = await kubectl({
    ...on,
    args: ['logs', pod.metadata.name, '-c', container, '--previous', '--tail', '5'],
  }).catch(() => '');
  return [
    {
      what: 'Restarts',
      says: `${pod.metadata.name} was restarted ${status.restartCount} times; the last time it ended with ${ended.reason || `exit code ${ended.exitCode}`}`,
      evidence: words.split('\n').filter(Boolean),
      next:
        ended.reason === 'OOMKilled'
          ? 'Raise `resources.limits.memory`: a save needs memory beside the data.'
          : 'Read what it said last. Where a liveness probe ended it while it loaded, raise `startupProbe.failureThreshold`.',
      lasting: true,
    },
  ];
}

/** What the strategies say that install a second release beside the first, and the plain data that their steps share. */
import type { GreenRelease, SecondFacts, SecondSettings } from '../activities/helm-second.js';
import type { HelmFacts } from '../activities/helm-release.js';
import type { ApplicationPod } from '../inputs/second-release.js';
import { contextInShell } from '../inputs/in-shell.js';
import { helmByHand, kubectlByHand, releaseFacts } from './helm-words.js';

export { evidenceStep, locks, patient, saves } from './helm-words.js';

export function lockOf({ release }: HelmFacts, green: string): string {
  return `kubernetes/${release.cluster}/${release.namespace}/${green}`;
}

/** Plain data that says which release is the second one. */
export function greenRelease({ helm, green, endpoints }: SecondFacts, since: number): GreenRelease {
  const { namespace, context, release } = helm.release;
  return {
    namespace,
    ...(context === undefined ? {} : { context }),
    release,
    green: green.release,
    pods: green.pods,
    claims: green.claims,
    endpoints,
    since,
  };
}

export function bothReleases({ helm, green }: SecondFacts, to: string): Record<string, unknown> {
  return { ...releaseFacts(helm, to), green: green.release, greenPods: green.pods };
}

/** What is installed: an approval stands for exactly these. */
export function installSays(
  { helm, green, values }: SecondFacts,
  { chart, chartVersion, targetVersion }: SecondSettings,
): string[] {
  const { namespace, release } = helm.release;
  return [
    `helm upgrade --install ${green.release} ${chart}${chartVersion === undefined ? '' : ` --version ${chartVersion}`} -n ${namespace}: ${targetVersion} beside ${release}, with the values of ${release} but for the following`,
    ...values.map((each) => `value ${each}`),
    `objects ${green.objects.join(', ')}`,
    ...(green.claims.length > 0 ? [`claims ${green.claims.join(', ')}`] : []),
  ];
}

export function uninstallByHand(helm: HelmFacts, { green }: GreenRelease): string[] {
  return [helmByHand(helm, 'uninstall', green, '--ignore-not-found')];
}

export function fromPod(
  input: { applicationPod?: ApplicationPod | undefined; service?: string | undefined },
  { release }: HelmFacts,
  cutoverAt: number,
) {
  const { applicationPod, service } = input;
  return {
    ...(release.context === undefined ? {} : { context: release.context }),
    namespace: applicationPod?.namespace ?? release.namespace,
    pod: applicationPod?.pod ?? '',
    ...(applicationPod?.container === undefined ? {} : { container: applicationPod.container }),
    service: { namespace: release.namespace, name: service ?? release.statefulSet.name },
    password: release.password,
    cutoverAt,
  };
}

export function retireQuestion({ helm, green }: SecondFacts): string {
  return `Close the way back to ${helm.release.shown}, and take its pods out of service? Its volumes, its Services and the release itself stay. ${green.release} can not be left for it any more.`;
}

export function retireSays({ helm }: SecondFacts): string[] {
  const { name, claims } = helm.release.statefulSet;
  return [
    'look once more that nobody came since',
    `scale the StatefulSet ${name} to 0, and wait until its pods are gone; not helm uninstall, which would delete the Service that the applications use`,
    `what stays: ${[...claims.map((claim) => `claim ${claim}`), 'its Services', 'the release'].join(', ')}`,
  ];
}

/** Said before and after: what is left, and what it may do. */
export function remains({ helm, green, repoint }: SecondFacts): string[] {
  const { release, statefulSet, shown } = helm.release;
  const services = repoint.kind === 'kubernetesService' ? repoint.services.map(({ name }) => name) : [];
  const theirs = services.join(', ') || 'its Services';
  return [
    ...services.map(
      (service) =>
        `The Service ${service} belongs to ${shown} and leads to ${green.statefulSet}: a later helm upgrade or rollback of ${release} puts its selector back, and then writes go to the old data`,
    ),
    `A later helm upgrade or rollback of ${release} starts its pods again, with the old data`,
    `helm uninstall ${release} deletes what the applications use: ${theirs}`,
    ...statefulSet.claims.map(
      (claim) => `The claim ${claim} stays, with what it held when the way back was closed`,
    ),
  ];
}

export function startAgain(helm: HelmFacts): string {
  const { statefulSet } = helm.release;
  return kubectlByHand(
    helm,
    'scale statefulset',
    statefulSet.name,
    '--replicas',
    String(statefulSet.replicas),
  );
}

/** What a person does once the old release is of no use to anybody, with the exact commands. */
export function followUps(found: SecondFacts): string[] {
  const { helm, green } = found;
  const { release, statefulSet, namespace, context } = helm.release;
  const kubectl = (...words: string[]) => kubectlByHand(helm, ...words);
  const inCluster = [...contextInShell(context), '-n', namespace].join(' ');
  return [
    `Run no helm upgrade, rollback or uninstall of ${release} any more: the Services that lead to ${green.statefulSet} belong to it. Let helm forget it, which leaves every object as it is: ${kubectl('delete secret -l', `owner=helm,name=${release}`)}`,
    `Delete what is left of the old release once the backup is all that is wanted of it: ${kubectl('delete statefulset', statefulSet.name)}${statefulSet.claims.length > 0 ? ` && ${kubectl('delete pvc', ...statefulSet.claims)}` : ''}`,
    `Upgrade ${green.release} instead of ${release} from now on, and write that down where ${release} stands (CI, GitOps): helm list ${inCluster}`,
  ];
}

/** What `helmRolling` checks beside what every upgrade of a release does: a pure function of what was found. */
import type { RollingFacts } from '../activities/helm-rolling.js';
import type { Check } from '../contract.js';
import type { HelmRollingSettings } from '../inputs/helm-rolling.js';
import { pathsOf } from '../inputs/kubernetes.js';
import { surgeChecks } from './helm-rolling-surge.js';
import { nameOf } from './redis-copy-words.js';

export function checksOf(found: RollingFacts, input: HelmRollingSettings): Check[] {
  return [
    replicas(found),
    numberOfPods(found),
    links(found, input),
    firstIsPrimary(found),
    partition(found, input),
    startsAgain(found),
    wayBack(found, input),
    ...surgeChecks(found),
  ];
}

function replicas({ helm, replicas: all }: RollingFacts): Check {
  const one = all.length > 0;
  return {
    name: 'A primary with replicas',
    status: one ? 'pass' : 'fail',
    expected: 'at least one replica, which takes over while the primary is made anew',
    actual: `${helm.mode}, ${all.length} of them`,
    waivable: false,
    ...(one
      ? {}
      : { next: 'Use helmInPlace or helmBlueGreen, or give the release a replica first (its own upgrade).' }),
  };
}

function numberOfPods({ helm }: RollingFacts): Check {
  const { look, release } = helm;
  const same = look.replicas === release.statefulSet.replicas;
  return {
    name: 'As many pods as before',
    status: same ? 'pass' : 'fail',
    expected: `${release.statefulSet.replicas}`,
    actual: `${look.replicas} by the new values`,
    waivable: false,
    ...(same ? {} : { next: 'Change the number of replicas in an upgrade of its own.' }),
  };
}

function links({ replicas: all, helm }: RollingFacts, { maxLag }: HelmRollingSettings): Check {
  const wrong = all.flatMap(({ pod, linkUp, lagBytes, ofPrimary }) =>
    !linkUp
      ? [`${pod}: its link is down`]
      : !ofPrimary
        ? [`${pod} does not follow ${helm.primary}`]
        : lagBytes > maxLag
          ? [`${pod} is ${lagBytes.toLocaleString('en')} bytes behind`]
          : [],
  );
  return {
    name: 'Replicas are in step',
    status: wrong.length === 0 ? 'pass' : 'fail',
    expected: `every link is up, and at most ${maxLag.toLocaleString('en')} bytes behind`,
    actual: wrong.join('; ') || `${all.length} in step`,
    waivable: false,
    ...(wrong.length === 0
      ? {}
      : { next: 'Look at the log of that replica (`ferry diagnose`), or raise `maxLag`.' }),
  };
}

function firstIsPrimary({ helm }: RollingFacts): Check {
  const { primary } = helm;
  const first = primary.endsWith('-0');
  return {
    name: 'The first pod is the primary',
    status: first ? 'pass' : 'fail',
    expected: `${helm.release.statefulSet.name}-0, as the chart's configuration has it`,
    actual: primary,
    waivable: false,
    ...(first
      ? {}
      : {
          next: 'Somebody promoted another one. Give the role back first: a pod 0 that is made anew takes writes by its configuration.',
        }),
  };
}

function partition({ helm }: RollingFacts, input: HelmRollingSettings): Check {
  const { strategy } = helm.release.statefulSet;
  const sets = helm.look.setsPartition;
  const path = pathsOf(input).partition;
  const rolls = strategy === 'RollingUpdate';
  const good = rolls && (!sets || path !== null);
  return {
    name: 'Pods can be held',
    status: good ? 'pass' : 'fail',
    expected: "RollingUpdate, with a partition that is not the chart's own, or that its values set",
    actual: `${strategy}, ${sets ? (path === null ? "a partition, or a strategy, of the chart's own" : `set by ${path}`) : 'the chart leaves the partition alone'}`,
    waivable: false,
    ...(good
      ? {}
      : {
          next: rolls
            ? 'Name the value that sets it as `paths.partition`: the upgrade would make all pods anew otherwise.'
            : 'Set the strategy of the StatefulSet to RollingUpdate in an upgrade of its own.',
        }),
  };
}

/** A pod of the old version that is made anew meanwhile starts with what the new revision brings. */
function startsAgain({ helm }: RollingFacts): Check {
  const touched = helm.look.objects.filter((line) => /^(ConfigMap|Secret) /.test(line));
  return {
    name: 'The old version starts with the new configuration',
    status: touched.length === 0 ? 'pass' : 'warn',
    expected: 'ConfigMaps and Secrets stay as they are',
    actual: touched.length === 0 ? 'they do' : touched.slice(0, 3).join('; '),
    waivable: true,
    ...(touched.length === 0
      ? {}
      : {
          next: `Between the upgrade of the release and its end ${helm.primary} would start with these, should it be restarted. Where ${helm.version} does not know them, let nobody drain its node meanwhile.`,
        }),
  };
}

function wayBack({ pair, helm }: RollingFacts, input: HelmRollingSettings): Check {
  const loses = pair?.lostOnReturn ?? '';
  const from = pair ? nameOf(pair.source) : helm.version;
  return {
    name: 'The old version can take over again',
    status: loses === '' ? 'pass' : 'warn',
    expected: `until the gate "decommission", with every write`,
    actual:
      loses === '' ? `${from} follows ${input.targetVersion} by partial resync` : `it would lose ${loses}`,
    waivable: true,
    ...(loses === '' ? {} : { next: 'Going back will ask for that to be accepted.' }),
  };
}

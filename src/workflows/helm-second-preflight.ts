/** The checklist of a second release: a pure function of what was found, beside the common one of all Helm upgrades. */
import type { SecondFacts } from '../activities/helm-second.js';
import type { Check } from '../contract.js';
import { roomChecks } from './helm-room-checks.js';
import { megabytes } from './redis-switchover-words.js';

/** Of a pod that is made anew, which none is here. */
const OF_IN_PLACE = ['What the upgrade changes', 'Persistence', 'Probes wait for the data'];

/** `leaveOut`: names of common checks that say nothing here. */
export function secondChecks(
  found: SecondFacts,
  { common, leaveOut = OF_IN_PLACE }: { common: Check[]; leaveOut?: readonly string[] | undefined },
): Check[] {
  return [
    ...common.filter(({ name }) => !leaveOut.includes(name)),
    free(found),
    ...leads(found),
    ...roomChecks({
      room: found.green.room,
      pods: found.green.pods.length,
      of: 'the pods of green',
      quota: { expected: 'enough for both releases at once', until: 'the old release is gone' },
      volumes: 'the volumes of green',
    }),
    ...holdsIt(found),
    password(found),
  ];
}

function free({ green }: SecondFacts): Check {
  const there = green.taken.length > 0;
  return {
    name: 'The name of green is free',
    status: there ? 'fail' : 'pass',
    expected: `no release ${green.release}, and none of its objects and claims`,
    actual: there ? `${green.taken.join(', ')} ${green.taken.length === 1 ? 'is' : 'are'} there` : 'free',
    waivable: false,
    ...(there
      ? {
          next: 'Give another name (`green`); or, where an earlier upgrade left it, run `ferry recover`, or delete it once you are sure that nobody uses it.',
        }
      : {}),
  };
}

function leads({ green, repoint, helm }: SecondFacts): Check[] {
  const at = green.selectedBy.length > 0;
  const services = repoint.kind === 'kubernetesService' ? repoint.services.map(({ name }) => name) : null;
  return [
    {
      name: 'No Service leads to green by itself',
      status: at ? 'fail' : 'pass',
      expected: 'selectors that leave green out until the cutover',
      actual: at ? green.selectedBy.join(', ') : 'none does',
      waivable: false,
      ...(at
        ? {
            next: 'It would send writes to green as soon as it is ready. Give that Service a selector that names the release (`app.kubernetes.io/instance`), or a pod.',
          }
        : {}),
    },
    {
      name: 'Green takes nobody else for its own',
      status: green.mistakes.length > 0 ? 'fail' : 'pass',
      expected: 'labels that tell both releases apart',
      actual: green.mistakes.length > 0 ? `it would count ${green.mistakes.join(', ')}` : 'they do',
      waivable: false,
      ...(green.mistakes.length > 0
        ? { next: 'Use a chart whose selector names the release, or helmRolling.' }
        : {}),
    },
    ...(services === null
      ? []
      : [
          {
            name: 'A Service can be switched',
            status: services.length > 0 ? ('pass' as const) : ('fail' as const),
            expected: `at least one that leads to ${helm.primary}`,
            actual: services.join(', ') || 'none',
            waivable: false,
            ...(services.length > 0
              ? {}
              : { next: 'Say how the applications are told instead (`repoint`).' }),
          },
        ]),
  ];
}

/** A file is written beside the one that stands. */
function holdsIt({ green, helm }: SecondFacts): Check[] {
  const used = helm.servers[helm.primary]?.usedMemory ?? 0;
  const [volume, memory] = [used * 2, used * 1.5];
  return [
    {
      name: 'The volume of green is large enough',
      status: green.storage === null ? 'warn' : green.storage < volume ? 'fail' : 'pass',
      expected: `about ${megabytes(volume)}: twice what the server takes in memory`,
      actual: green.storage === null ? 'it has none' : megabytes(green.storage),
      waivable: true,
      ...(green.storage === null
        ? { next: 'A restart of green would lose everything. Switch persistence on in `values`.' }
        : green.storage < volume
          ? {
              next: 'Ask for more in `values`: a full volume ends saving, and then writes are refused (MISCONF).',
            }
          : {}),
    },
    {
      name: 'The memory of green is large enough',
      status: green.memoryLimit !== null && green.memoryLimit < memory ? 'fail' : 'pass',
      expected: `about ${megabytes(memory)}: half as much again as the server takes now`,
      actual: green.memoryLimit === null ? 'no limit' : megabytes(green.memoryLimit),
      waivable: true,
      ...(green.memoryLimit !== null && green.memoryLimit < memory
        ? { next: 'Raise `resources.limits.memory` in `values`: the kernel ends what goes beyond it.' }
        : {}),
    },
  ];
}

function password({ samePassword }: SecondFacts): Check {
  return {
    name: 'Green has the same password',
    status: samePassword === null ? 'warn' : samePassword ? 'pass' : 'fail',
    expected: 'that of the old release',
    actual:
      samePassword === null ? 'not known before it runs' : samePassword ? 'it has' : 'it has another one',
    waivable: false,
    ...(samePassword === false
      ? { next: "Give the old release's Secret in `values` (`existingSecret` in most charts)." }
      : {}),
  };
}

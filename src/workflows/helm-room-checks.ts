/** Whether there is room in the cluster for more pods, as checks: a pure function of what was found. */
import type { SecondLook } from '../activities/helm-second.js';
import type { Check } from '../contract.js';

export function roomChecks(on: {
  room: SecondLook['room'];
  pods: number;
  /** What they are: "the pods of green". */
  of: string;
  /** Who has to fit into the quota, and until when. */
  quota: { expected: string; until: string };
  /** "the volumes of green". */
  volumes: string;
}): Check[] {
  const { pods, of, quota, volumes } = on;
  const { fitting, lacking, storage } = on.room;
  return [
    {
      name: `Room for ${of}`,
      status: fitting === null ? 'warn' : fitting < pods ? 'fail' : 'pass',
      expected: `nodes with room for ${pods} more`,
      actual: fitting === null ? 'not known: nodes may not be looked at' : `for ${fitting}`,
      waivable: true,
      ...(fitting === null || fitting < pods
        ? {
            next: 'Free memory or CPU, add a node, or lower `resources.requests` in `values`. Waive it where nodes are added by themselves.',
          }
        : {}),
    },
    {
      name: 'Quota of the namespace',
      status: lacking.length > 0 ? 'fail' : 'pass',
      expected: quota.expected,
      actual: lacking.join('; ') || 'enough, or none is set',
      waivable: false,
      ...(lacking.length > 0 ? { next: `Raise it until ${quota.until}.` } : {}),
    },
    {
      name: 'Storage class',
      status: storage === '' ? 'pass' : 'fail',
      expected: `one that makes ${volumes}`,
      actual: storage || 'there is one, or none is needed',
      waivable: true,
      ...(storage === '' ? {} : { next: 'Name one that there is in `values`.' }),
    },
  ];
}

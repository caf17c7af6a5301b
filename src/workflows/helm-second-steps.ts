/** The steps by which a second release comes and the first one goes: what the strategies share that stand two beside each other. */
import type { Use } from '../activities/decommissioning.js';
import type { GreenServes, Retired, SecondFacts, SecondSettings } from '../activities/helm-second.js';
import type { Check } from '../contract.js';
import { acts, patiently } from '../runbook/acts.js';
import type { GateOptions, Runbook, WriteStep } from '../runbook/api.js';
import { secondChecks } from './helm-second-preflight.js';
import * as say from './helm-second-words.js';

type Input = SecondSettings & Parameters<typeof say.fromPod>[0];

/** `again`: looks at both releases once more. */
export function secondReleaseSteps(
  r: Runbook,
  on: { input: Input; found: SecondFacts; again: () => Promise<SecondFacts> },
) {
  const { input, found } = on;
  const { helm } = found;
  const { release, primary } = helm;
  const green = say.greenRelease(found, Date.now());
  /** How the old one was used when it was looked at last. */
  let seen: Use | null = null;

  return {
    green,

    /** Nobody else upgrades one of both meanwhile. */
    lock: () => r.lock([...say.locks(helm), say.lockOf(helm, green.green)]),

    /** `leaveOut`: names of common checks that say nothing here. */
    preflight: async (leaveOut?: readonly string[]): Promise<Check[]> => [
      ...secondChecks(found, {
        common: await acts(say.patient, 'Pre-flight checklist').preflightHelm({
          settings: input,
          facts: helm,
        }),
        leaveOut,
      }),
      ...(await acts(say.patient, 'Room for the backups').preflightBackup({
        source: found.endpoints.blue,
        backup: input.backup,
      })),
    ],

    /** Renders it again at the gate: an approval is for just these objects. `title`: of the step that installs it. */
    again: (title: string): GateOptions => ({
      again: async () => ({ [title]: say.installSays(await on.again(), input) }),
    }),

    install: (title: string): WriteStep<{ revision: number } | null> => ({
      does: say.installSays(found, input),
      foresee: null,
      undo: {
        says: `uninstall ${green.green}, and remove the claims that came with it; but only while nothing leads there and ${release.shown} serves`,
        call: patiently('removeGreen', green),
        byHand: say.uninstallByHand(helm, green),
      },
      do: () =>
        acts(say.patient, title).installGreen({
          settings: input,
          green,
          old: { revision: release.revision, version: helm.version },
        }),
      note: (result) => (result ? `revision ${result.revision}` : ''),
    }),

    /** `title`: of the step, for the progress. */
    ready: (title: string): WriteStep<GreenServes | null> => ({
      does: [`wait for at most ${input.readyWithin} until ${green.pods.join(', ')} are ready`],
      foresee: null,
      undo: { none: 'waiting changes nothing' },
      do: () =>
        acts(say.patient, 'Wait for the pods of green').waitForGreen({
          green,
          container: found.green.container,
          version: input.targetVersion,
          since: Date.now(),
          readyWithin: input.readyWithin,
          step: title,
        }),
      note: (result) => (result ? `after ${result.seconds} s` : ''),
    }),

    /** Whether it saves at all: then a volume that is too small, or full, is to show before the cutover. */
    saves: (): boolean => {
      const persistence = helm.servers[primary]?.persistence;
      return persistence?.aof === true || persistence?.save !== '';
    },

    /** `step`: its title, for the progress. */
    save: (step: string) =>
      acts(say.saves, 'Save green to disk').saveToDisk({
        endpoint: found.endpoints.green,
        mountPath: release.statefulSet.dataPath ?? '/data',
        step,
      }),

    /** What a pod of an application sees after the cutover, where one is named. */
    asked: async (cutoverAt: number): Promise<Check[]> =>
      input.applicationPod
        ? acts(
            { ...say.patient, startToCloseTimeout: '2m' },
            "Ask from the application's pod",
          ).askApplication(say.fromPod(input, helm, cutoverAt))
        : [],

    unused: async (since: Use | null): Promise<Check[]> => {
      if (!since) throw new Error('how it was used is known once the way back is closed');
      const { checks, now } = await acts(say.patient, 'Who uses the old release').proveBlueUnused({
        release,
        primary,
        since,
      });
      seen = now;
      return checks;
    },

    retire: (title: string): WriteStep<Retired | null> => ({
      does: say.retireSays(found),
      notes: say.remains(found),
      foresee: null,
      undo: { none: `its volumes stay, and so does the backup; to start it again: ${say.startAgain(helm)}` },
      skippable: true,
      do: async () => {
        if (!seen) throw new Error('nobody has looked who uses it');
        return acts(say.patient, title).retireBlue({ release, primary, seen });
      },
      note: (result) => (result ? `its pods are gone after ${result.seconds} s` : ''),
    }),

    retired(result: Retired | null): void {
      if (!result) return;
      r.record({
        decommission: { seconds: result.seconds, claimsStay: result.claims, remains: say.remains(found) },
      });
      for (const item of say.followUps(found)) r.followUp(item);
    },
  };
}

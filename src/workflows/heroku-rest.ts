/** Apps come to rest, and get back what they had: the steps of both strategies at Heroku, and their sentences. */
import type { AppBefore, AppUse, HerokuFacts } from '../activities/heroku-apps.js';
import type { UndoResult } from '../contract.js';
import { acts, call, changes } from '../runbook/acts.js';
import type { WriteStep } from '../runbook/api.js';

type Resting = Pick<HerokuFacts, 'apps' | 'before' | 'byHand'>;
type Apps = Pick<HerokuFacts, 'apps'>;

export function names({ apps }: Apps): string {
  return apps.map(({ name }) => name).join(', ') || 'no app';
}

/** "Turn maintenance mode on" */
export function maintenanceOn(found: Resting): WriteStep<{ turnedOn: string[] } | null> {
  const impact = maintenanceImpact(found);
  return {
    does: maintenanceSays(found),
    foresee: null,
    ...(impact === null ? {} : { impact }),
    undo: {
      says: 'give every app the maintenance mode that it had',
      call: call('restoreMaintenanceMode', { apps: found.before }),
      byHand: found.byHand.maintenance,
    },
    do: () =>
      acts(changes, 'Turn maintenance mode on').ensureMaintenanceMode({
        apps: found.before.map(({ name }) => name),
      }),
  };
}

/** "Scale down the workers" */
export function workersDown(found: Resting): WriteStep<{ stopped: number } | null> {
  const stopped = found.apps.filter((app) => workers(app).length > 0);
  return {
    does: workersSay(found),
    notes: workersNoted(found),
    foresee: null,
    ...(stopped.length > 0 ? { impact: `no worker of ${names({ apps: stopped })} runs: jobs wait` } : {}),
    undo: {
      says: 'scale every app back to exactly what ran',
      call: call('restoreFormation', { apps: found.before }),
      byHand: found.byHand.scale,
    },
    do: () => acts(changes, 'Scale down the workers').scaleDownWorkers({ apps: found.before }),
    note: (result) => (result ? `${result.stopped} dynos ended` : ''),
  };
}

type Back = Omit<WriteStep<UndoResult | null>, 'undo'>;

/** "Scale the workers back" */
export function workersBack(apps: AppBefore[]): Back {
  return {
    does: ['scale every app back to exactly what ran, in number and size'],
    foresee: null,
    relieves: 'Scale down the workers',
    do: () => acts(changes, 'Scale the workers back').restoreFormation({ apps }),
    note: (result) => result?.note ?? '',
  };
}

/** "Turn maintenance mode off" */
export function maintenanceOff(apps: AppBefore[]): Back {
  return {
    does: ['give every app the maintenance mode that it had'],
    foresee: null,
    relieves: 'Turn maintenance mode on',
    do: () => acts(changes, 'Turn maintenance mode off').restoreMaintenanceMode({ apps }),
    note: (result) => result?.note ?? '',
  };
}

/** "Scale the workers back", while it can still go back. */
export function workersBackForNow(apps: AppBefore[]): WriteStep<UndoResult | null> {
  return {
    ...workersBack(apps),
    undo: {
      says: 'scale them to 0 while it goes back',
      call: call('scaleDownWorkers', { apps }),
      byHand: [],
    },
  };
}

/** "Turn maintenance mode off", while it can still go back. */
export function maintenanceOffForNow(found: Resting): WriteStep<UndoResult | null> {
  const impact = maintenanceImpact(found);
  return {
    ...maintenanceOff(found.before),
    undo: {
      says: 'turn it on while it goes back',
      call: call('ensureMaintenanceMode', { apps: found.before.map(({ name }) => name) }),
      byHand: [],
      ...(impact === null ? {} : { brings: { what: impact, step: 'Turn maintenance mode on' } }),
    },
  };
}

/** What is off, by the sentences of its plan, of which an approval would be void. */
export function atRest(found: Apps): Record<string, string[]> {
  return { 'Turn maintenance mode on': maintenanceSays(found), 'Scale down the workers': workersSay(found) };
}

/** How many there are may change by itself, and is looked at right before: it is noted, not planned. */
export function workersNoted({ apps }: Apps): string[] {
  return apps.flatMap((app) =>
    workers(app).map(({ type, quantity, size }) => `${app.name} runs ${type}=${quantity}:${size}`),
  );
}

/** Null where every app is in maintenance mode already. */
function maintenanceImpact({ apps }: Apps): string | null {
  const running = apps.filter(({ maintenance }) => !maintenance);
  return running.length > 0 ? `visitors of ${names({ apps: running })} get the maintenance page` : null;
}

function maintenanceSays({ apps }: Apps): string[] {
  const [resting, running] = [
    apps.filter(({ maintenance }) => maintenance),
    apps.filter(({ maintenance }) => !maintenance),
  ];
  return [
    ...(running.length > 0 ? [`turn maintenance mode on for ${names({ apps: running })}`] : []),
    ...(resting.length > 0 ? [`${names({ apps: resting })}: in it already, and stays in it afterwards`] : []),
  ];
}

function workersSay({ apps }: Apps): string[] {
  const says = apps.flatMap((app) =>
    workers(app).length === 0
      ? []
      : [
          `scale ${workers(app)
            .map(({ type }) => type)
            .join(', ')} of ${app.name} to 0, and wait until they have ended`,
        ],
  );
  return says.length > 0 ? says : ['nothing but web runs'];
}

function workers({ formation }: AppUse) {
  return formation.filter(({ type, quantity }) => type !== 'web' && quantity > 0);
}

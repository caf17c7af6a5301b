/* What an app has, to be compared before and after. */
import { createHash } from 'node:crypto';
import { addonOf, appNamed, attachmentsTo, configVars, type World } from './state.js';

export interface Snapshot {
  maintenance: boolean;
  /** `REDIS → redis-curly-1`, sorted. */
  attachments: string[];
  /** Name → digest of the value. */
  vars: Record<string, string>;
  /** `worker=2:Standard-1X`, sorted. */
  formation: string[];
  /** `web.1`, sorted. */
  dynos: string[];
}

export function snapshotOf(world: World, name: string): Snapshot {
  const app = appNamed(world, name);
  const vars = Object.entries(configVars(world, app)).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return {
    maintenance: app.maintenance,
    attachments: attachmentsTo(world, app)
      .map((each) => `${each.name} → ${addonOf(world, each.addon).name}`)
      .toSorted(),
    vars: Object.fromEntries(vars.map(([key, value]) => [key, digest(value)])),
    formation: app.formation.map(({ type, quantity, size }) => `${type}=${quantity}:${size}`).toSorted(),
    dynos: app.dynos.map((dyno) => dyno.name).toSorted(),
  };
}

const digest = (value: string): string => createHash('sha256').update(value).digest('hex').slice(0, 16);

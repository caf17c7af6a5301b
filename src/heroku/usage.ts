/** Who uses an add-on, and how these apps run: what everything that touches them has to give back. */
import { addOnInfo, type AddOn } from './add-ons.js';
import { HerokuRefusal, type Asked } from './api.js';
import { appInfo } from './apps.js';
import { attachmentsOf } from './attachments.js';
import { configVarNames } from './config-vars.js';
import { dynosOf } from './dynos.js';
import { formationOf, type ExactScale } from './formation.js';
import { accountOwner } from './owner.js';

export interface AppUse {
  name: string;
  /** Names under which it has the add-on, such as `REDIS`, `CACHE`. */
  attachments: string[];
  /** Visitors get the maintenance page. */
  maintenance: boolean;
  /** Name of its Private Space; null outside of one. */
  space: string | null;
  /** Each process type, also those at 0. */
  formation: Array<ExactScale>;
  /** Names, without values. */
  configVars: string[];
  /** Dynos that run beside the formation, such as `run.4711`: nothing scales them. */
  oneOff: string[];
}

export interface AddOnUse {
  /** E-mail address of the account that looks. */
  account: string;
  addon: AddOn;
  /** By name. */
  apps: AppUse[];
  /** Apps that use it too and which this account may not see. */
  unseen: string[];
}

/** @throws FerryError NotFound where there is no such add-on, and as `request` */
export async function useOfAddOn({ addon: name, signal }: Asked & { addon: string }): Promise<AddOnUse> {
  const account = await accountOwner({ signal });
  const addon = await addOnInfo({ addon: name, signal });
  const attachments = await attachmentsOf({ addon: addon.id, signal });
  const names = [...new Set(attachments.map(({ app }) => app))].toSorted();
  const use: AddOnUse = { account, addon, apps: [], unseen: [] };
  for (const app of names) {
    const as = attachments.filter((each) => each.app === app).map((each) => each.name);
    const seen = await look({ app, signal }).catch(orUnseen);
    if (seen === null) use.unseen.push(app);
    else use.apps.push({ ...seen, attachments: as.toSorted() });
  }
  return use;
}

/** By their names, whatever they use. @throws as `request` */
export async function useOfApps({ apps, signal }: Asked & { apps: readonly string[] }): Promise<AppUse[]> {
  const found: AppUse[] = [];
  for (const app of apps) found.push({ ...(await look({ app, signal })), attachments: [] });
  return found;
}

async function look({ app, signal }: Asked & { app: string }): Promise<Omit<AppUse, 'attachments'>> {
  const { name, maintenance, space } = await appInfo({ app, signal });
  const formation = await formationOf({ app, signal });
  const dynos = await dynosOf({ app, signal });
  return {
    name,
    maintenance,
    space,
    formation,
    configVars: await configVarNames({ app, signal }),
    oneOff: dynos
      .filter(({ type }) => !formation.some((each) => each.type === type))
      .map((dyno) => dyno.name),
  };
}

function orUnseen(error: unknown): null {
  if (error instanceof HerokuRefusal && (error.status === 403 || error.status === 404)) return null;
  throw error;
}

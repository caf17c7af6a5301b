/* What the emulated Heroku holds. Changed by the routes, and by what goes on in the background. */
import { randomUUID } from 'node:crypto';
import type { Faults } from './faults.js';
import { notFound, ApiError } from './http.js';
import { planOf, type Plan } from './plans.js';
import type { Certificates } from './redis/certificates.js';
import type { Settings, Store } from './redis/store.js';

export interface Process {
  id: string;
  type: string;
  command: string;
  quantity: number;
  size: string;
}

export interface Dyno {
  id: string;
  name: string;
  type: string;
  size: string;
  state: 'starting' | 'up';
  /** Version of the release that it runs. */
  release: number;
  at: Date;
}

export interface Release {
  id: string;
  version: number;
  description: string;
  at: Date;
}

export interface App {
  id: string;
  name: string;
  at: Date;
  maintenance: boolean;
  /** In a Private Space. */
  space: boolean;
  /** What the account may see of it: `hidden` is 404, `forbidden` is 403. */
  access: 'full' | 'hidden' | 'forbidden';
  /** The customer's own; those of attachments are derived. */
  vars: Map<string, string>;
  formation: Process[];
  dynos: Dyno[];
  releases: Release[];
}

export interface Maintenance {
  status: 'preparing' | 'ready' | 'pending' | 'running' | 'completed';
  target: string;
  at: Date;
  requiredBy: Date;
  scheduledFor: Date;
  previouslyFor: Date | null;
  startedAt: Date | null;
  completedAt: Date | null;
  /** Ready to take over. */
  follower: Store | null;
  timer: NodeJS.Timeout | null;
}

export interface Addon {
  id: string;
  name: string;
  plan: string;
  /** Id of the app that pays. */
  app: string;
  at: Date;
  state: 'provisioning' | 'provisioned' | 'deprovisioned';
  status: 'creating' | 'fork in progress' | 'available' | 'upgrading' | 'maintenance in progress';
  version: string;
  password: string;
  settings: Settings;
  window: string;
  /** Whether the clear port is open. */
  clear: boolean;
  store: Store | null;
  /** The newest last. */
  maintenances: Maintenance[];
}

export interface Attachment {
  id: string;
  name: string;
  app: string;
  addon: string;
  at: Date;
}

/** How long things take, in milliseconds. */
export interface Timing {
  provision: number;
  /** Until a restarted dyno is up. */
  restart: number;
  /** A fork is promoted this long after it is in sync. */
  fork: number;
  prepare: number;
  /** A prepared maintenance runs by itself so long after it was asked for. */
  scheduled: number;
  required: number;
  /** What `delay_weeks` counts. */
  week: number;
  /** At a failover, what is written in this time to the old server is lost. */
  loss: number;
}

export interface World {
  apps: Map<string, App>;
  addons: Map<string, Addon>;
  attachments: Map<string, Attachment>;
  /** Every add-on there ever was, by name: each was billed. */
  billed: string[];
  /** Version → program, oldest first. */
  servers: Map<string, string>;
  timing: Timing;
  certificates: Certificates;
  /** Where servers keep their data. */
  folder: string;
  /** Forks trust self-signed leaders of this Heroku. */
  trustsSelfSigned: boolean;
  /** At a failover the new server takes the old one's ports. */
  keepsPorts: boolean;
  faults: Faults;
  account: Account;
  /** Work for an add-on that no request waits for. What fails because the add-on is gone by then is forgotten. */
  background(addon: Addon, work: () => Promise<void>): void;
  later(ms: number, work: () => void): NodeJS.Timeout;
}

/** May be changed at any time. */
export interface Account {
  key: string;
  keyIsExpired: boolean;
  /** Requests left until 429; refilled by whoever tests that. */
  remaining: number;
}

/** Whose key it is. */
export const OWNER = { id: '01234567-89ab-cdef-0123-456789abcdef', email: 'ada@example.com' };

export const newId = (): string => randomUUID();
export const planOfAddon = (addon: Addon): Plan => planOf(addon.plan);

export function appNamed(world: World, key: string): App {
  const app = [...world.apps.values()].find(({ id, name }) => id === key || name === key);
  if (!app || app.access === 'hidden') throw notFound('app');
  if (app.access === 'forbidden')
    throw new ApiError(403, 'forbidden', `You do not have access to the app ${app.name}.`);
  return app;
}

export function appOf(world: World, id: string): App {
  const app = world.apps.get(id);
  if (!app) throw notFound('app');
  return app;
}

/** By exact name or id. Seen by who sees its billing app, or an app that it is attached to. */
export function addonNamed(world: World, key: string): Addon {
  const addon = [...world.addons.values()].find(({ id, name }) => id === key || name === key);
  if (!addon || !isSeen(world, addon)) throw notFound('add_on');
  return addon;
}

export function addonOf(world: World, id: string): Addon {
  const addon = world.addons.get(id);
  if (!addon) throw notFound('add_on');
  return addon;
}

export function isSeen(world: World, addon: Addon): boolean {
  const apps = [addon.app, ...attachmentsOf(world, addon).map(({ app }) => app)];
  return apps.some((id) => world.apps.get(id)?.access === 'full');
}

export const isGone = (addon: Addon): boolean => addon.state === 'deprovisioned';

/** @throws while its server is being replaced */
export function mustRest({ name, status }: Addon): void {
  if (status === 'upgrading' || status === 'maintenance in progress')
    throw new ApiError(422, 'unprocessable_entity', `${name} can't be changed now: its status is ${status}.`);
}

export function attachmentsOf(world: World, addon: Addon): Attachment[] {
  return [...world.attachments.values()].filter((each) => each.addon === addon.id);
}

export function attachmentsTo(world: World, app: App): Attachment[] {
  return [...world.attachments.values()].filter((each) => each.app === app.id);
}

export function attachmentNamed(world: World, app: App, name: string): Attachment | undefined {
  return attachmentsTo(world, app).find((each) => each.name === name || each.id === name);
}

/** What an attachment sets in its app, or will once there is a server. */
export function varNames(world: World, { name, addon }: Attachment): string[] {
  return planOfAddon(addonOf(world, addon)).tlsFirst ? [`${name}_URL`] : [`${name}_URL`, `${name}_TLS_URL`];
}

export function urlsOf(addon: Addon): { clear: string | null; tls: string; main: string } {
  const { store, password } = addon;
  if (!store) throw new Error(`${addon.name} has no server`);
  const clear = addon.clear ? `redis://:${password}@127.0.0.1:${store.port}` : null;
  const tls = `rediss://:${password}@127.0.0.1:${store.tlsPort}`;
  return { clear, tls, main: planOfAddon(addon).tlsFirst ? tls : (clear ?? tls) };
}

export function configVars(world: World, app: App): Record<string, string> {
  const vars = Object.fromEntries(app.vars);
  for (const attachment of attachmentsTo(world, app)) {
    const addon = addonOf(world, attachment.addon);
    if (addon.state !== 'provisioned') continue;
    const { main, tls } = urlsOf(addon);
    const [name = '', tlsName] = varNames(world, attachment);
    vars[name] = main;
    if (tlsName !== undefined) vars[tlsName] = tls;
  }
  return vars;
}

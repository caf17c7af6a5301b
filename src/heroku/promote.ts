/** Makes an add-on the one that an app uses. */
import { addOnInfo } from './add-ons.js';
import { attach, findAttachment } from './attachments.js';
import type { Asked } from './api.js';

export interface Promotion {
  /** Name of the add-on that had the attachment before; null where nobody had, or the add-on itself. */
  was: string | null;
  /** Whether something was changed: only then the app restarts. */
  did: boolean;
}

/**
 * Attaches the add-on to the app as `as`, taking that name from the one that has it. That one first gets the name `alias`: without
 * one it would lose its last attachment there, with the URL that the way back needs. `heroku redis:promote` leaves it out wherever
 * another name merely ends in the same letters, and needs an add-on that is attached to the app already.
 *
 * @throws FerryError ProviderRefused, also where `alias` is another add-on's; and as `request`
 */
export async function promote({
  addon,
  app,
  as = 'REDIS',
  alias,
  signal,
}: Asked & { addon: string; app: string; as?: string; alias: string }): Promise<Promotion> {
  const promoted = await addOnInfo({ addon, signal });
  const before = await findAttachment({ app, as, signal });
  if (before?.addon.id === promoted.id) return { was: null, did: false };
  if (before !== null) await attach({ addon: before.addon, app, as: alias, signal });
  const { did } = await attach({ addon: promoted, app, as, replace: true, signal });
  return { was: before?.addon.name ?? null, did };
}

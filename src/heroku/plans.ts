/** What a service offers, and for how much. */
import { z } from 'zod';
import { Price } from './add-ons.js';
import { path, requestList, type Asked } from './api.js';

export interface Plan {
  /** Such as `heroku-redis:premium-0`. */
  name: string;
  /** Such as "Premium 0". */
  title: string;
  price: Price | null;
  /** For apps inside and outside of a Private Space; null where Heroku doesn't say. */
  inside: boolean | null;
  outside: boolean | null;
}

const Reply = z
  .object({
    name: z.string(),
    human_name: z.string().nullish(),
    price: Price.nullish(),
    installable_inside_private_network: z.boolean().nullish(),
    installable_outside_private_network: z.boolean().nullish(),
  })
  .transform(({ name, human_name, price, ...installable }): Plan => ({
    name,
    title: human_name ?? name,
    price: price ?? null,
    inside: installable.installable_inside_private_network ?? null,
    outside: installable.installable_outside_private_network ?? null,
  }));

/** Plans of a service such as `heroku-redis`. @throws FerryError NotFound, and as `request` */
export async function plansOf({ service, signal }: Asked & { service: string }): Promise<Plan[]> {
  return requestList({
    path: path('addon-services', service, 'plans'),
    item: Reply,
    to: `list the plans of ${service}`,
    signal,
  });
}

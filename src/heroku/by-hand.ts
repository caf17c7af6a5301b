/** The same by hand: lines for the break-glass card, as the Heroku CLI takes them. */
import { workersOf, type AppBefore } from './standstill.js';

/** `heroku ps:scale worker=2:standard-1x -a shop` */
export function scaleByHand(apps: readonly AppBefore[]): string[] {
  return apps.flatMap((app) => {
    const to = workersOf(app).map(({ type, quantity, size }) => `${type}=${quantity}:${size.toLowerCase()}`);
    return to.length === 0 ? [] : [`heroku ps:scale ${to.join(' ')} -a ${app.name}`];
  });
}

/** `heroku maintenance:off -a shop`; an app that was in maintenance mode before stays in it. */
export function maintenanceByHand(apps: readonly AppBefore[]): string[] {
  return apps
    .filter(({ maintenance }) => !maintenance)
    .map(({ name }) => `heroku maintenance:off -a ${name}`);
}

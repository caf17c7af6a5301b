/** Which way keys go from one server to another: what the servers themselves allow decides. */
import type { ChosenWay as Shown } from '../contract.js';
import type { Formats } from './format.js';
import type { Way } from './transfer.js';

/** `because` is empty where it is the better way, or was asked for. */
export interface ChosenWay extends Shown {
  chosen: Way;
}

export interface WayEnd {
  /** "Redis 7.0.15" */
  product: string;
  formats: Formats;
  can: { dump: boolean; restore: boolean };
}

/** "dump" wherever it is possible: it is the fastest, and carries what no command can set. */
export function chooseWay(ends: { from: WayEnd; to: WayEnd; wish: 'auto' | Way }): ChosenWay {
  const { from, to, wish } = ends;
  if (wish !== 'auto') return { chosen: wish, because: '' };
  const because = whyNotDump({ from, to });
  return because === '' ? { chosen: 'dump', because } : { chosen: 'value', because };
}

/** Empty when nothing speaks against it. What isn't known doesn't. */
export function whyNotDump({ from, to }: { from: WayEnd; to: WayEnd }): string {
  if (!to.can.restore) return `RESTORE is not permitted on ${to.product}`;
  const { highest } = from.formats;
  const { accepts } = to.formats;
  if (highest === null || accepts === null || accepts.includes(highest)) return '';
  return `${to.product} reads RDB versions up to ${accepts.at(-1) ?? 0}${accepts.some((version) => version > highest) ? ', but not all of them' : ''}, and ${from.product} writes ${highest}`;
}

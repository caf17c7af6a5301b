/* A real HAProxy in front of two servers, of which the first serves. */
import { inject } from 'vitest';
import { startHaproxy as start, type Haproxy } from '../../src/setup/haproxy.js';

export function startHaproxy(on: { source: number; target: number }): Promise<Haproxy> {
  return start({ ...on, binary: inject('haproxy') ?? 'haproxy' });
}

/** What every activity of a move of PostgreSQL is told: references and settings, never addresses or passwords. */
import { FerryError } from '../errors.js';
import { endpointOf, type PostgresSource } from '../inputs/postgres-move.js';
import type { PostgresEndpoint } from '../inputs/refs.js';
import { openSession, type At, type Session } from '../postgres/connect.js';
import { systemIdOf } from '../postgres/describe.js';
import { ferryOf, handOf, soleHand } from '../postgres/hands.js';
import { resolveDatabase } from '../postgres/resolve.js';
import { chooseTools, postgresTools, type PostgresTools } from '../postgres/tools.js';
import type { Serving } from '../repoint/index.js';
import type { Border } from './border.js';

export interface Database {
  endpoint: PostgresEndpoint;
  /** Of which server it was when the move began: a reference may come to lead elsewhere. */
  systemId: string;
  major: number;
}

export interface DatabaseSides {
  source: Database;
  target: Database;
  /** Sessions at once. */
  jobs: number;
  /** Both keep text differently. */
  utf8: boolean;
}

export type Side = 'source' | 'target';

type Attempt = Pick<Border<never>, 'workflowId' | 'hand' | 'signal'>;

export function sourceEndpoint(source: PostgresSource): PostgresEndpoint {
  return endpointOf(source);
}

/** What the sessions of this attempt are called. */
export function nameOf({ workflowId, hand }: Pick<Attempt, 'workflowId' | 'hand'>): string {
  return handOf({ workflowId, order: hand.slice(hand.lastIndexOf(':') + 1) });
}

/** What all sessions of this upgrade begin with. */
export function ours({ workflowId }: Pick<Attempt, 'workflowId'>): string {
  return ferryOf(workflowId);
}

export async function reach(b: Attempt, sides: DatabaseSides, side: Side): Promise<At> {
  const { endpoint } = sides[side];
  const address = await resolveDatabase({ endpoint, where: side, signal: b.signal });
  return { address, name: nameOf(b), signal: b.signal };
}

/** A session of this attempt alone: those of earlier ones are ended first. @throws FerryError Unclear where it is another server than before */
export async function hold(
  b: Attempt & Pick<Border<never>, 'stillCurrent'>,
  sides: DatabaseSides,
  side: Side,
): Promise<{ at: At; session: Session }> {
  const at = await reach(b, sides, side);
  const session = await openSession(at);
  try {
    await mustBeThat(session, sides[side].systemId, side);
    await soleHand(session, at.name);
    await b.stillCurrent();
    return { at, session };
  } catch (error) {
    await session.end();
    throw error;
  }
}

/** @throws as hold */
export async function onDatabase<T>(
  b: Attempt & Pick<Border<never>, 'stillCurrent'>,
  sides: DatabaseSides,
  side: Side,
  use: (held: { at: At; session: Session }) => Promise<T>,
): Promise<T> {
  const held = await hold(b, sides, side);
  try {
    return await use(held);
  } finally {
    await held.session.end();
  }
}

async function mustBeThat(session: Session, systemId: string, side: Side): Promise<void> {
  if ((await systemIdOf(session)) === systemId) return;
  throw new FerryError(
    'Unclear',
    `the reference to the ${side} leads to another server (${session.shown}) than when the move began. Let it lead there again, then retry`,
  );
}

/** What this worker has for these versions. @throws FerryError ToolMissing */
export async function toolsFor(b: Pick<Attempt, 'signal'>, sides: DatabaseSides): Promise<PostgresTools> {
  const { source, target } = sides;
  return chooseTools({ tools: await postgresTools(b.signal), source: source.major, target: target.major });
}

/** As an application is told of it. */
export function servingAt({ address }: Pick<At, 'address'>): Serving {
  const { host, port, database, url, sslmode } = address;
  return {
    address: { host, port, ...(sslmode === 'disable' ? {} : { tls: {} }) },
    database,
    url,
  };
}

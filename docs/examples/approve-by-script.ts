/**
 * Approves the open gates of an upgrade by rules of your own, and prints how it ended.
 *
 *   npm install redis-ferry @temporalio/client @temporalio/envconfig
 *   npx tsx approve-by-script.ts sessions
 *
 * Everything is typed by the package: a misspelt field, gate answer or phase does not compile.
 */
import { pathToFileURL } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { Client, Connection, WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { ENDED, queries, updates, workflowIdOf, type Receipt, type State } from 'redis-ferry';

/** Why a person should look instead; null when the script may approve. */
export function reservation(state: State): string | null {
  const check = state.checks.find(({ status, waivedBy }) => status !== 'pass' && waivedBy === undefined);
  if (check) return `${check.name}: ${check.actual}`;
  if (!state.wayBack.possible) return 'there would be no way back';
  if (!state.wayBack.keepsWrites) return `going back would lose ${state.wayBack.loses}`;
  return null;
}

/** Follows an upgrade to its end, approving as `by` what `reservation` lets through. */
export async function approveByScript(options: {
  client: Client;
  name: string;
  by: string;
  say: (line: string) => void;
}): Promise<Receipt> {
  const { client, name, by, say } = options;
  const upgrade = client.workflow.getHandle(workflowIdOf('redisCopy', name));
  const told = new Set<string>();
  for (;;) {
    const state = await upgrade.query(queries.state);
    if (ENDED.includes(state.phase)) break;
    const gate = state.gates.find(
      ({ status, approvals }) => status === 'open' && !approvals.some((approval) => approval.by === by),
    );
    const why = gate && reservation(state);
    if (gate && why === null) {
      // With the hash of the plan it stands for: when the plan has changed meanwhile, the Update is refused.
      const { planHash } = state;
      say(await upgrade.executeUpdate(updates.approve, { args: [{ gate: gate.name, by, planHash }] }));
    } else if (gate && !told.has(gate.name)) {
      told.add(gate.name);
      say(`Gate "${gate.name}" is left to a person: ${why}`);
    }
    await pause(500);
  }
  return receiptOf(upgrade.result());
}

/** A completed upgrade returns its receipt; any other end fails, with the receipt as the failure's details. */
async function receiptOf(result: Promise<unknown>): Promise<Receipt> {
  try {
    return (await result) as Receipt;
  } catch (error) {
    const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
    if (cause instanceof ApplicationFailure && cause.details?.[0]) return cause.details[0] as Receipt;
    throw error;
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
  const connection = await Connection.connect(connectionOptions);
  try {
    const receipt = await approveByScript({
      client: new Client({ connection, namespace }),
      name: process.argv[2] ?? 'sessions',
      by: 'release-bot',
      say: console.log,
    });
    console.log(`${receipt.outcome}${receipt.clean ? ', clean' : `: ${receipt.blemishes.join('; ')}`}`);
    process.exitCode = receipt.outcome === 'Completed' ? 0 : 1;
  } finally {
    await connection.close();
  }
}

/* Our client and our adapter of the CLI, pointed at an emulated Heroku. */
import { expect, onTestFinished, vi } from 'vitest';
import { FerryError } from '../../src/errors.js';
import type { Heroku } from '../support/heroku/index.js';
import { HEROKU_CLI } from './support.js';

/** Until the end of the test. */
export function pointAt(heroku: Heroku): void {
  for (const [name, value] of Object.entries(heroku.env)) vi.stubEnv(name, value);
  if (HEROKU_CLI !== null) vi.stubEnv('FERRY_HEROKU_CLI', HEROKU_CLI);
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
}

/** What it failed with, of the closed table. */
export async function failureOf(asked: Promise<unknown>): Promise<FerryError> {
  const error = await asked.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof FerryError)) expect(error).toBeInstanceOf(FerryError);
  return error as FerryError;
}

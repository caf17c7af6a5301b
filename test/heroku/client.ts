/* Our client and our adapter of the CLI, pointed at an emulated Heroku. */
import { expect, inject, onTestFinished, vi } from 'vitest';
import { FerryError } from '../../src/errors.js';
import type { Heroku } from '../support/heroku/index.js';

/** Until the end of the test. */
export function pointAt(heroku: Heroku): void {
  for (const [name, value] of Object.entries(heroku.env)) vi.stubEnv(name, value);
  const cli = inject('herokuCli');
  if (cli !== null) vi.stubEnv('FERRY_HEROKU_CLI', cli);
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

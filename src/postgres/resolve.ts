/** Where a database is, with the password that its reference holds. */
import { FerryError } from '../errors.js';
import { placeOf, type PostgresEndpoint } from '../inputs/refs.js';
import { rememberSecret } from '../platform/redact.js';
import { resolveSecret } from '../platform/secrets.js';
import { parsePostgresUrl, type DatabaseAddress } from './address.js';

/** `where`: the field of the input. @throws FerryError */
export async function resolveDatabase(on: {
  endpoint: PostgresEndpoint;
  where: string;
  signal?: AbortSignal | undefined;
}): Promise<DatabaseAddress> {
  const { endpoint, where, signal } = on;
  const url = typeof endpoint === 'string' ? endpoint : await resolveSecret({ ref: endpoint, where, signal });
  try {
    const address = parsePostgresUrl(url);
    if (address.password !== undefined) rememberSecret(address.password);
    return address;
  } catch (error) {
    const what = typeof endpoint === 'string' ? 'the URL' : `what ${placeOf(endpoint)} holds`;
    throw new FerryError(
      'InvalidInput',
      `${where}: ${what} is not a PostgreSQL URL that can be used: it ${error instanceof Error ? error.message : 'can not be read'}`,
    );
  }
}

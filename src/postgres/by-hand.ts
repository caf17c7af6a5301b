/** The commands that a person types when Redis Ferry can't help. */
import { passwordInShell, quoted } from '../inputs/in-shell.js';
import type { DatabaseAddress } from './address.js';
import { ident, literal } from './connect.js';
import type { ReadOnlySetting } from './writes.js';

/** psql with the password taken out of the reference as it runs: it stands neither in the card nor in `ps`. `url`: what stands for it in a shell. */
function psql(address: DatabaseAddress, url: string): string {
  const { host, port, user, database, password, sslmode, sslrootcert } = address;
  return [
    ...(password === undefined ? [] : [`PGPASSWORD="$(${passwordInShell({ url, password })})"`]),
    `PGSSLMODE=${sslmode}`,
    ...(sslrootcert === undefined ? [] : [`PGSSLROOTCERT=${quoted(sslrootcert)}`]),
    'psql -X -v ON_ERROR_STOP=1',
    `-h ${quoted(host)} -p ${port} -U ${quoted(user)} -d ${quoted(database)}`,
  ].join(' ');
}

/** Writes are taken again, as before. */
export function openByHand(on: { address: DatabaseAddress; url: string; before: ReadOnlySetting }): string[] {
  const { address, url, before } = on;
  const name = 'default_transaction_read_only';
  const change = before === null ? `RESET ${name}` : `SET ${name} = ${literal(before)}`;
  const sql = `ALTER DATABASE ${ident(address.database)} ${change}`;
  return [`${psql(address, url)} -c ${quoted(`SET ${name} = off`)} -c ${quoted(sql)}`];
}

/** Sessions that began while it was closed are ended: applications connect anew. */
export function reconnectByHand({ address, url }: { address: DatabaseAddress; url: string }): string[] {
  const sql =
    'SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()';
  return [`${psql(address, url)} -c ${quoted(sql)}`];
}

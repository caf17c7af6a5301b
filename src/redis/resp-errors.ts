/** From what a socket or a server says to the table of failures. Nothing a client sent gets into a message. */
import { FerryError, type FailureType } from '../errors.js';
import type { ServerAddress } from './address.js';
import { ReplyError } from './resp-parser.js';

const TLS_REASONS: Record<string, string> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN:
    'its certificate comes from a certificate authority that is not trusted here (self-signed in the chain)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'its certificate comes from a certificate authority that is not known here',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate comes from a certificate authority that is not known here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'its certificate comes from a certificate authority that is not known here',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  CERT_SIGNATURE_FAILURE: 'its certificate was not signed by the certificate authority given as `tls.ca`',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS on this port',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS on this port',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    'it wants a client certificate, which Redis Ferry does not offer',
  ERR_OSSL_PEM_NO_START_LINE: 'the file given as `tls.ca` is no PEM certificate',
};

const SOCKET_REASONS: Record<string, string> = {
  ECONNREFUSED: 'refused the connection',
  ECONNRESET: 'reset the connection',
  EPIPE: 'closed the connection',
  ETIMEDOUT: 'did not answer',
  EHOSTUNREACH: 'can not be reached from here',
  ENETUNREACH: 'can not be reached from here',
  ENOTFOUND: 'is a name that does not resolve',
  EAI_AGAIN: 'is a name that does not resolve at the moment',
};

export function connectFailure({
  error,
  where,
  address,
}: {
  error: Error;
  where: string;
  address: ServerAddress;
}): FerryError {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const known = TLS_REASONS[code];
  if (known !== undefined)
    return new FerryError('TlsFailed', `${where}: ${known}${tlsName(error, code)} (${code})`);
  if (address.tls && /^(ERR_SSL|ERR_TLS|ERR_OSSL|CERT_|UNABLE_TO)|EPROTO/.test(code))
    return new FerryError('TlsFailed', `${where}: TLS failed (${code})`);
  return new FerryError(
    'Unreachable',
    `${where} ${SOCKET_REASONS[code] ?? `can not be reached (${code || 'unknown reason'})`}`,
  );
}

function tlsName(error: Error, code: string): string {
  if (code !== 'ERR_TLS_CERT_ALTNAME_INVALID') return '';
  const names =
    'cert' in error && typeof error.cert === 'object' && error.cert !== null && 'subjectaltname' in error.cert
      ? error.cert.subjectaltname
      : '';
  return typeof names === 'string' && names ? `, not the one asked for: ${names}` : '';
}

const CODES: Record<string, FailureType> = {
  WRONGPASS: 'WrongPassword',
  NOAUTH: 'WrongPassword',
  LOADING: 'Loading',
  MASTERDOWN: 'Loading',
  NOPERM: 'NotPermitted',
  READONLY: 'ReadOnlyTarget',
  OOM: 'TargetOutOfMemory',
  MOVED: 'ClusterMode',
  ASK: 'ClusterMode',
  CROSSSLOT: 'ClusterMode',
  CLUSTERDOWN: 'ClusterMode',
  TRYAGAIN: 'ClusterMode',
  BUSY: 'Unreachable',
};

const SAYS: Partial<Record<FailureType, string>> = {
  WrongPassword: 'refused the user or the password',
  Loading: 'is still loading its data',
  ReadOnlyTarget: 'is read-only (a replica)',
  TargetOutOfMemory: 'has reached its memory limit',
  ClusterMode: 'is part of a Redis Cluster',
  Unreachable: 'is busy with a script and answers nobody',
};

/**
 * The failure that an error reply means, or the reply itself where the table has none. Error replies may quote the
 * command's arguments, keys and values included, so texts of the server are only shown up to there.
 */
export function replyFailure({
  error,
  command,
  where,
}: {
  error: ReplyError;
  command: readonly unknown[];
  where: string;
}): Error {
  const verb = commandName(command);
  let type = CODES[error.code];
  if (error.code === 'ERR') {
    if (/invalid password|without any password|AUTH .*failed/i.test(error.message)) type = 'WrongPassword';
    else if (/not allowed in cluster mode|cluster mode is enabled/i.test(error.message)) type = 'ClusterMode';
    else if (/unknown command/i.test(error.message)) type = 'NotPermitted';
  }
  if (type === 'NotPermitted') {
    const why =
      error.code !== 'NOPERM'
        ? ' (the server does not know the command: renamed, disabled, or too old)'
        : /access.* key/i.test(error.message)
          ? ' on one of the keys'
          : '';
    return new FerryError('NotPermitted', `${where} does not allow ${verb}${why}`);
  }
  if (type) return new FerryError(type, `${where} ${SAYS[type] ?? error.code}`);
  return error;
}

/** Like replyFailure, but always of the table. */
export function failureOf(options: {
  error: unknown;
  command: readonly unknown[];
  where: string;
}): FerryError {
  const { error, command, where } = options;
  if (error instanceof FerryError) return error;
  if (error instanceof ReplyError) {
    const known = replyFailure({ error, command, where });
    if (known instanceof FerryError) return known;
    return new FerryError(
      'Unknown',
      `${where} answered ${commandName(command)} with: ${withoutArguments(error.message)}`,
    );
  }
  throw error;
}

function commandName(command: readonly unknown[]): string {
  const [verb, sub] = command;
  const container = typeof verb === 'string' && /^(CLIENT|XINFO|XGROUP|MEMORY|OBJECT|CONFIG|ACL)$/.test(verb);
  if (typeof verb !== 'string') return 'the command';
  return container && typeof sub === 'string' ? `${verb} ${sub}` : verb;
}

function withoutArguments(message: string): string {
  return message
    .replace(/,? with args beginning with[\s\S]*$/i, '')
    .replace(/[`'"][^`'"]*[`'"]/g, '…')
    .slice(0, 160);
}

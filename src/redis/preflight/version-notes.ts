/**
 * What changed between versions that an application or an operator may notice, from the release notes of Redis and Valkey (00-RELEASENOTES) and
 * Redis's page of ACL changes in 8.0. A note is shown where the way crosses its version and the server uses what it is about.
 */
import type { Check } from '../../contract.js';
import type { ServerFacts } from '../describe.js';
import { atLeast } from '../info.js';
import type { CoupleSurvey } from '../survey/index.js';
import { check, productOf } from './check.js';

interface NotesInput {
  source: ServerFacts;
  target: ServerFacts;
  survey: CoupleSurvey;
}

interface Note {
  product: 'redis' | 'valkey';
  /** From this version of it on. */
  since: string;
  says: string;
  /** Whether this server is concerned; null: it can't be told. */
  concerns(input: NotesInput): boolean | null;
}

const uses =
  (...commands: string[]) =>
  ({ survey }: NotesInput): boolean | null =>
    survey.commands.calls && commands.some((name) => (survey.commands.calls?.[name] ?? 0) > 0);

const scripts = uses('eval', 'evalsha', 'eval_ro', 'evalsha_ro', 'fcall', 'fcall_ro');

const named = ({ survey }: NotesInput): boolean | null => survey.users && survey.users.source.length > 0;

const waits = ({ survey }: NotesInput): boolean | null =>
  survey.clients && Object.keys(survey.clients.waiting).length > 0;

const modules = ({ source }: NotesInput): boolean | null => source.modules && source.modules.length > 0;

function both(...conditions: Note['concerns'][]): Note['concerns'] {
  return (input) => {
    const answers = conditions.map((condition) => condition(input));
    return answers.includes(false) ? false : answers.includes(null) ? null : true;
  };
}

const NOTES: readonly Note[] = [
  {
    product: 'redis',
    since: '7.0',
    says: 'ACL users may use no pub/sub channel unless their rules name it (acl-pubsub-default is resetchannels)',
    concerns: named,
  },
  {
    product: 'redis',
    since: '7.0',
    says: 'scripts are replicated by their effects only, have no print(), and their errors carry other codes',
    concerns: scripts,
  },
  {
    product: 'redis',
    since: '7.0',
    says: 'the AOF is a folder of files (appenddirname): backups that copy appendonly.aof miss it',
    concerns: ({ source, target }) => source.persistence.aof || target.persistence.aof,
  },
  {
    product: 'redis',
    since: '7.0',
    says: 'XCLAIM and XAUTOCLAIM leave out deleted entries, and take them off the pending list',
    concerns: uses('xclaim', 'xautoclaim'),
  },
  {
    product: 'redis',
    since: '7.0',
    says: 'LPOP and RPOP with a count answer a missing list with a null array',
    concerns: uses('lpop', 'rpop'),
  },
  {
    product: 'redis',
    since: '7.0',
    says: 'SORT with BY or GET is refused to users who may not read every key',
    concerns: both(uses('sort', 'sort_ro'), named),
  },
  {
    product: 'redis',
    since: '7.0',
    says: 'DEBUG is switched off unless enable-debug-command allows it',
    concerns: uses('debug'),
  },
  {
    product: 'redis',
    since: '7.2',
    says: 'time stands still during a script: a loop that waits for an expiry never ends',
    concerns: scripts,
  },
  {
    product: 'redis',
    since: '7.2',
    says: 'permissions and memory are looked at again when a blocked command goes on',
    concerns: waits,
  },
  {
    product: 'redis',
    since: '7.2',
    says: 'XREADGROUP, XCLAIM and XAUTOCLAIM create the consumer even when they read nothing; one that waited answers another error when the key is gone',
    concerns: uses('xreadgroup', 'xclaim', 'xautoclaim'),
  },
  {
    product: 'redis',
    since: '7.2',
    says: 'refusals by ACL have other texts and codes',
    concerns: named,
  },
  {
    product: 'redis',
    since: '7.2',
    says: 'a module must be built for the changed module API',
    concerns: modules,
  },
  {
    product: 'redis',
    since: '7.4',
    says: 'scripts that EVAL has cached are dropped again when they are many (least recently used): EVALSHA must expect NOSCRIPT at any time',
    concerns: uses('evalsha', 'evalsha_ro'),
  },
  {
    product: 'redis',
    since: '7.4',
    says: 'the memory of Lua counts as used memory, against maxmemory',
    concerns: both(scripts, ({ target }) => target.maxmemory > 0),
  },
  {
    product: 'redis',
    since: '7.4',
    says: 'BITCOUNT and BITPOS with wrong arguments answer an error also where the key is missing, not 0',
    concerns: uses('bitcount', 'bitpos'),
  },
  {
    product: 'redis',
    since: '7.4',
    says: 'the size of a whole transaction (MULTI … EXEC) is limited',
    concerns: uses('exec'),
  },
  {
    product: 'redis',
    since: '8.0',
    says: 'the ACL categories (@read, @write …) include the commands of search, JSON, time series and Bloom filters: rules by category permit more, and those that take one away permit less',
    concerns: ({ survey }) => survey.users && survey.users.byCategory.length > 0,
  },
  {
    product: 'redis',
    since: '8.0',
    says: 'GETRANGE answers an empty string where a negative end is before the beginning',
    concerns: uses('getrange', 'substr'),
  },
  {
    product: 'redis',
    since: '8.0',
    says: 'search, JSON, time series and Bloom filters are part of Redis instead of modules of their own',
    concerns: modules,
  },
  {
    product: 'valkey',
    since: '7.2',
    says: 'INFO names its version as valkey_version, and says 7.2.4 as redis_version for ever: monitoring that compares versions must know that',
    concerns: ({ source }) => source.product === 'redis',
  },
  {
    product: 'valkey',
    since: '8.0',
    says: 'error messages do not say Redis any more: clients that look for the words miss them',
    concerns: ({ source }) => source.product === 'redis',
  },
  {
    product: 'valkey',
    since: '8.0',
    says: 'MULTI or WATCH inside a transaction aborts it',
    concerns: uses('multi'),
  },
  {
    product: 'valkey',
    since: '8.0',
    says: 'SCAN refuses an unknown TYPE with an error',
    concerns: uses('scan'),
  },
  {
    product: 'valkey',
    since: '8.0',
    says: 'BITCOUNT and BITPOS with wrong arguments answer an error also where the key is missing, not 0',
    concerns: uses('bitcount', 'bitpos'),
  },
  {
    product: 'valkey',
    since: '9.0',
    says: 'errors inside a transaction name the whole command (CLIENT SETNAME instead of client)',
    concerns: uses('multi'),
  },
];

export interface VersionNote {
  /** `Redis 7.0` */
  version: string;
  says: string;
  /** False where it can't be told whether the server uses what it is about. */
  sure: boolean;
}

/** The notes on the way from source to target, oldest first. */
export function versionNotes(input: NotesInput): VersionNote[] {
  return NOTES.flatMap(({ product, since, says, concerns }) => {
    const concerned = crossed({ product, since }, input) ? concerns(input) : false;
    const version = `${product === 'valkey' ? 'Valkey' : 'Redis'} ${since}`;
    return concerned === false ? [] : [{ version, says, sure: concerned === true }];
  });
}

/** A Valkey has all of Redis up to 7.2, from which it came, and says so as its redis_version. */
function crossed({ product, since }: Pick<Note, 'product' | 'since'>, { source, target }: NotesInput) {
  if (product === 'redis') return !atLeast(source.redisVersion, since) && atLeast(target.redisVersion, since);
  const before = source.product === 'redis' || !atLeast(source.version, since);
  return before && target.product === 'valkey' && atLeast(target.version, since);
}

export function notesOnTheWay(input: NotesInput): Check {
  const notes = versionNotes(input);
  return check({
    name: 'Version notes',
    expected: 'nothing that changed is used here',
    actual:
      notes.length === 0
        ? `nothing known, from ${productOf(input.source)} to ${productOf(input.target)}`
        : notes
            .map(
              ({ version, says, sure }) =>
                `${version}: ${says}${sure ? '' : ' (whether it is used is not known)'}`,
            )
            .join('; '),
    ...(notes.length === 0
      ? {}
      : { status: 'warn', next: 'Rehearse it with the application on a copy, and read the release notes.' }),
  });
}

/** Checks of who looks after both servers: a manager that changes roles, and whether the source's data is on a disk. */
import type { Check } from '../../contract.js';
import type { ServerFacts } from '../describe.js';
import type { CoupleSurvey } from '../survey/index.js';
import { check, count } from './check.js';
import { NOT_TOLD, someOf } from './words.js';

interface HandsInput {
  source: ServerFacts;
  target: ServerFacts;
  survey: CoupleSurvey;
}

/** Names that controllers and their agents give their connections, addresses that Kubernetes hands out, and folders of its images. */
const MANAGED: readonly RegExp[] = [
  /operator/i,
  /^(redis|valkey)[_-]?exporter/i,
  /argo|flux/i,
  /keeper|failover/i,
];
const POD = /\.svc(\.|:|$)|^[a-z0-9-]+-\d+\.[a-z0-9-]+\./i;
const IMAGES = /\/(bitnami|kubernetes|k8s)\b|\/etc\/(redis|valkey)-(operator|config)/i;

export function someoneElse({ source, target, survey }: HandsInput): Check {
  const signs = [
    ...(survey.clients?.names ?? [])
      .filter((name) => MANAGED.some((sign) => sign.test(name)))
      .map((name) => `a connection named ${name}`),
    ...[
      { facts: source, state: survey.source },
      { facts: target, state: survey.target },
    ].flatMap(({ facts, state }) => [
      ...(POD.test(facts.shown) ? [`${facts.shown} is the name of a pod or Service`] : []),
      ...(state.announces === null ? [] : [`${facts.shown} announces itself as ${state.announces}`]),
      ...(IMAGES.test(state.configFile) ? [`${facts.shown} was started from ${state.configFile}`] : []),
    ]),
  ];
  const blind = survey.clients === null ? '; its clients are not known: not permitted to ask' : '';
  return check({
    name: 'Nobody else changes the roles',
    expected: 'no operator, Argo CD, Flux or script (which Redis can not show for sure)',
    actual: (signs.length === 0 ? 'no sign of one' : someOf(signs)) + blind,
    ...(signs.length === 0 && blind === ''
      ? {}
      : {
          status: 'warn',
          next: 'Somebody else may change the roles. Pause what manages these servers until the way back is closed: an operator or a sync would turn the new primary back into a replica, or restart it.',
        }),
  });
}

export function sourceSaves({ source, survey }: HandsInput): Check {
  const { saving } = survey.source;
  const broken = [
    ...(saving.lastSave === 'err' ? ['the last save failed'] : []),
    ...(saving.aofWrite === 'err' ? ['the last write to the AOF failed'] : []),
    ...(saving.aofRewrite === 'err' ? ['the last rewrite of the AOF failed'] : []),
  ];
  const ways = [
    ...(source.persistence.aof ? ['AOF'] : []),
    ...(source.persistence.save ? [`RDB (save ${source.persistence.save})`] : []),
  ];
  const off = ways.length === 0 && source.persistence.save === '';
  const ago =
    saving.lastSaveAt === null || saving.now === null || saving.lastSaveAt === 0
      ? null
      : Math.max(0, saving.now - saving.lastSaveAt);
  const when =
    ago === null
      ? ''
      : `; last saved or started ${ago < 120 ? count(ago, 'second') : ago < 7_200 ? count(Math.floor(ago / 60), 'minute') : count(Math.floor(ago / 3_600), 'hour')} ago, ${count(saving.unsaved, 'write')} since`;
  return check({
    name: 'Source saves to disk',
    expected: 'saves that work, so that a crash before the cutover loses little',
    actual:
      [
        off ? 'off' : ways.join(' and ') || (source.persistence.save === null ? NOT_TOLD : 'off'),
        ...broken,
      ].join('; ') + when,
    ...(broken.length > 0
      ? {
          status: 'warn',
          next: 'Look at its log and disk first: the full sync forks and saves just so.',
        }
      : off
        ? {
            status: 'warn',
            next: 'If it is restarted before the cutover, it comes back empty. BGSAVE and keep the file, or set appendonly there.',
          }
        : {}),
  });
}

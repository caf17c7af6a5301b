/** Blue and green: two releases, of which the second one follows the first. What there is to look at before it does. */
import type { HelmBlueGreenSettings } from '../inputs/helm-blue-green.js';
import { FerryError } from '../errors.js';
import { lostOnReturn } from '../redis/preflight/way-back.js';
import { surveyBetween, surveyOf } from '../redis/survey/index.js';
import { describeRepoint } from '../repoint/index.js';
import { atEndpoint } from './asking.js';
import { border, type Border } from './border.js';
import { foreseenServer, secondFacts, type SecondFacts } from './helm-second.js';
import type { CoupleFacts } from './replicating.js';

export interface BlueGreenFacts extends SecondFacts {
  /** What both servers will be, as far as that can be told before there is a second one. */
  couple: CoupleFacts;
}

/** @throws FerryError what describeHelm throws, and where the second release can't be rendered */
export async function describeBlueGreen(input: { settings: HelmBlueGreenSettings }): Promise<BlueGreenFacts> {
  return border(async (b) => {
    const found = await secondFacts(b, input.settings);
    return { ...found, couple: await foreseen(b, found, input.settings.targetVersion) };
  });
}

async function foreseen(b: Border<unknown>, found: SecondFacts, targetVersion: string): Promise<CoupleFacts> {
  const { helm, repoint, endpoints } = found;
  const { blue, green } = endpoints;
  const source = helm.servers[helm.primary];
  if (!source) throw new FerryError('Unclear', 'the primary was not asked');
  const target = foreseenServer(found, targetVersion);
  const survey = await atEndpoint(b, { endpoint: blue, where: helm.primary }, (client) =>
    surveyOf({ client }),
  );
  const unknown = { highest: null, accepts: null };
  const before = { settings: {}, ownLogin: false };
  return {
    source,
    target,
    formats: { source: unknown, target: unknown },
    couple: {
      source: blue,
      target: green,
      reach: { source: null, target: null },
      before: { source: before, target: before },
    },
    backlogBytes: 0,
    bytesPerSecond: 0,
    survey: surveyBetween({ source: survey, target: survey }),
    targetEmpty: true,
    repointSays: describeRepoint(repoint),
    byHand: [],
    lostOnReturn: lostOnReturn({ source, target }),
    closeByHand: [],
  };
}

/** Looking at a Redis in trouble. Changes nothing. */
import type { Diagnosis, Finding } from '../contract.js';
import { FerryError } from '../errors.js';
import type { DiagnoseSettings } from '../inputs/diagnose.js';
import type { RedisEndpoint } from '../inputs/refs.js';
import { troubleOf } from '../kubernetes/diagnose.js';
import { passwordOf, portOf } from '../kubernetes/release.js';
import { redact } from '../platform/redact.js';
import { resolveEndpoint } from '../platform/secrets.js';
import { shown } from '../redis/address.js';
import { parseInfo, productIn } from '../redis/info.js';
import { troubleOn } from '../redis/trouble.js';
import { onServer } from './asking.js';
import { border, type Border } from './border.js';
import { podEndpoint } from './helm-release.js';

export async function findTrouble(input: DiagnoseSettings): Promise<Diagnosis> {
  return border(async (b) => {
    const at = new Date().toISOString();
    if ('server' in input) {
      const seen = await ask(b, input.server);
      return { of: seen.shown, at, findings: seen.findings, servers: seen.servers };
    }
    const { namespace, context, release, password } = input;
    const where = { namespace, context, signal: b.signal };
    const { findings, reachable } = await troubleOf({ ...where, release });
    const servers: string[] = [];
    for (const { pod, container } of reachable) {
      const endpoint = podEndpoint({
        namespace,
        context,
        pod,
        container: container.name,
        port: portOf(container),
        password: password ?? passwordOf(container, { namespace, context }),
      });
      const seen = await ask(b, endpoint);
      findings.push(...seen.findings);
      servers.push(...seen.servers);
    }
    return { of: `${namespace}/${release}`, at, findings: findings.map(clean), servers };
  });
}

async function ask(
  b: Pick<Border<never>, 'hand' | 'signal'>,
  endpoint: RedisEndpoint,
): Promise<{ shown: string; findings: Finding[]; servers: string[] }> {
  const address = await resolveEndpoint({ endpoint, where: 'server', signal: b.signal });
  const name = shown(address);
  try {
    return await onServer(b, address, async (client) => {
      const info = parseInfo(String(await client.call('INFO', 'server')));
      return {
        shown: name,
        servers: [`${name}: ${productIn(info)}, up for ${info['uptime_in_seconds'] ?? '?'} s`],
        findings: (await troubleOn({ client, shown: name })).map(clean),
      };
    });
  } catch (error) {
    if (!(error instanceof FerryError)) throw error;
    return {
      shown: name,
      servers: [`${name}: not asked`],
      findings: [
        {
          what: 'Server',
          says: `${name} does not answer as it should`,
          evidence: [error.message],
          next:
            error.type === 'Loading'
              ? 'Wait until it has loaded its data.'
              : 'Look at its log, at its password, and whether it listens where it is asked.',
          lasting: error.type !== 'Loading',
        },
      ],
    };
  }
}

function clean(finding: Finding): Finding {
  return { ...finding, says: redact(finding.says), evidence: finding.evidence.map(redact) };
}

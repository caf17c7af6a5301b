/** What a pod of an application sees of Redis: PING through the Service, and what its log says. */
import type { Check } from '../contract.js';
import type { SecretRef } from '../inputs/refs.js';
import { redact } from '../platform/redact.js';
import { check, count } from '../redis/preflight/check.js';
import { getJson, kubectl } from './kubectl.js';
import { Service } from './objects.js';

export interface FromPod {
  namespace: string;
  context?: string | undefined;
  pod: string;
  container?: string | undefined;
  /** That it is to reach Redis by. */
  service: { namespace: string; name: string };
  password: SecretRef | null;
  /** Milliseconds since 1970. */
  cutoverAt: number;
}

/** With what the image has. The password comes by stdin, and stands in no argv. */
const ASK = `IFS= read -r p || true
if command -v redis-cli >/dev/null 2>&1; then
  if [ -n "$p" ]; then export REDISCLI_AUTH="$p"; fi
  exec redis-cli -h "$1" -p "$2" PING
fi
LC_ALL=C
say() { if [ -n "$p" ]; then printf '*2\\r\\n$4\\r\\nAUTH\\r\\n$%s\\r\\n%s\\r\\n' "\${#p}" "$p"; fi; printf 'PING\\r\\nQUIT\\r\\n'; }
if command -v nc >/dev/null 2>&1; then say | nc -w 5 "$1" "$2"
elif command -v bash >/dev/null 2>&1; then say | bash -c 'exec 3<>"/dev/tcp/$1/$2" && cat >&3 && cat <&3' bash "$1" "$2"
else echo no-tool; fi`;

/** Clients that were sent away say so for a moment. */
const MOMENT_MS = 10_000;
const ABOUT_REDIS = /redis|lettuce|:6379/i;
const TROUBLE = /error|exception|refused|reset|timed? ?out|READONLY|MASTERDOWN|NOAUTH|WRONGPASS|LOADING/i;

export async function askFromPod(
  on: Omit<FromPod, 'password'> & { secret: string; signal: AbortSignal },
): Promise<Check[]> {
  return [await pinged(on), await logged(on)];
}

async function pinged(on: Parameters<typeof askFromPod>[0]): Promise<Check> {
  const { namespace, context, pod, container, service, secret, signal } = on;
  const { spec } = await getJson({
    namespace: service.namespace,
    context,
    signal,
    what: ['service', service.name],
    schema: Service,
  });
  const host = `${service.name}.${service.namespace}.svc`;
  const said = await kubectl({
    namespace,
    context,
    signal,
    input: `${secret}\n`,
    args: [
      'exec',
      '-i',
      pod,
      ...(container === undefined ? [] : ['-c', container]),
      '--',
      'sh',
      '-c',
      ASK,
      'sh',
      host,
      String(spec.ports[0]?.port ?? 6379),
    ],
  }).catch((error: unknown) => (error instanceof Error ? error.message : 'nothing'));
  const pong = said.includes('PONG');
  const blind = said.trim() === 'no-tool';
  return check({
    name: "PING from the application's pod",
    expected: `PONG from ${host}`,
    actual: pong
      ? 'PONG'
      : blind
        ? 'not known: it has neither redis-cli, nor nc, nor bash'
        : redact(said).trim().slice(-200) || 'nothing',
    ...(pong
      ? {}
      : blind
        ? { status: 'warn', next: 'Give a probe of your own (`probes`).' }
        : {
            status: 'fail',
            waivable: true,
            next: 'Look whether that pod may reach the new one (NetworkPolicy).',
          }),
  });
}

async function logged(on: Parameters<typeof askFromPod>[0]): Promise<Check> {
  const { namespace, context, pod, container, cutoverAt, signal } = on;
  const from = cutoverAt + MOMENT_MS;
  const log = await kubectl({
    namespace,
    context,
    signal,
    args: [
      'logs',
      pod,
      ...(container === undefined ? [] : ['-c', container]),
      '--timestamps',
      '--tail',
      '2000',
      `--since-time=${new Date(cutoverAt).toISOString()}`,
    ],
  }).catch(() => null);
  const lines = (log ?? '')
    .split('\n')
    .map((line) => ({ at: Date.parse(line.split(' ')[0] ?? ''), text: line.replace(/^\S+ /, '') }))
    .filter(({ text }) => ABOUT_REDIS.test(text) && TROUBLE.test(text));
  const late = lines.filter(({ at }) => at > from);
  return check({
    name: "Log of the application's pod",
    expected: 'no errors of Redis but in the moment of the switch',
    actual:
      log === null
        ? 'not known: it can not be read'
        : late.length > 0
          ? `${count(late.length, 'line')} since: ${redact(late.at(-1)?.text ?? '').slice(0, 160)}`
          : lines.length > 0
            ? `${count(lines.length, 'line')} in that moment, none since`
            : 'none',
    ...(log === null || late.length > 0
      ? { status: 'warn', next: 'Read it: applications may not have come back by themselves.' }
      : {}),
  });
}

/** When keys expire, exact to the millisecond on every version. */
import type { Session } from './session.js';
import { asList, asNumber, asText, type Command, type Reply } from './resp.js';

/** Milliseconds since 1970, or one of these. */
export const NO_EXPIRY = -1;
export const NO_KEY = -2;

/** Sent together with whatever else is asked about the key; `settleExpiries` makes times of the answers. */
export function expiryCommand(session: Session, key: Buffer): Command {
  return [expiryVerb(session), key];
}

export function expiryVerb(session: Session): string {
  return session.expireTime ? 'PEXPIRETIME' : 'PTTL';
}

/** Keys a bracket. More would take longer than the millisecond that it must fit into. */
const BRACKET = 16;

/**
 * From answers to `expiryCommand` to times. Before 7.0 a server only says how long is left, so the keys that
 * have an expiry are asked again between two TIMEs: where both show the same millisecond, time + rest is exact.
 */
export async function settleExpiries(options: {
  session: Session;
  keys: readonly Buffer[];
  answers: readonly number[];
}): Promise<number[]> {
  const { session, keys, answers } = options;
  if (session.expireTime) return [...answers];
  const times = [...answers];
  let open = answers.flatMap((answer, index) => (answer >= 0 ? [index] : []));
  for (let size = BRACKET; open.length > 0; size = Math.max(1, size >> 1)) {
    const brackets = Array.from({ length: Math.ceil(open.length / size) }, (_, i) =>
      open.slice(i * size, (i + 1) * size),
    );
    const replies = await session.all(
      brackets.flatMap((indexes): Command[] => [
        ['TIME'],
        ...indexes.map((index): Command => ['PTTL', keys[index] ?? '']),
        ['TIME'],
      ]),
    );
    let at = 0;
    open = [];
    for (const indexes of brackets) {
      const from = milliseconds(replies[at]);
      const to = milliseconds(replies[at + indexes.length + 1]);
      indexes.forEach((index, i) => {
        const left = asNumber(replies[at + 1 + i]);
        if (left < 0) times[index] = left;
        else if (from === to) times[index] = from + left;
        else open.push(index);
      });
      at += indexes.length + 2;
    }
  }
  return times;
}

/** Of a TIME reply. */
export function milliseconds(reply: Reply | undefined): number {
  const [seconds, micros] = asList(reply);
  return Number(asText(seconds)) * 1000 + Math.floor(Number(asText(micros)) / 1000);
}

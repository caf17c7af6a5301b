/**
 * Vector sets (Redis 8), for comparing only: their DUMP holds an index that comes out otherwise each time, and their vectors are
 * quantized, so no command gives back what went in. What is read here is what the server keeps of each element.
 */
import { createDigest, type Digest } from './digest.js';
import { asBuffer, asList, asNumber, asText, type Command, type Reply } from './resp.js';
import { KeyChanged, type Session } from './session.js';

export const VECTOR_SET = 'vectorset';

const AT_ONCE = 500;

export async function digestVectors({ session, key }: { session: Session; key: Buffer }): Promise<Digest> {
  const [card, info] = await session.all([
    ['VCARD', key],
    ['VINFO', key],
  ]);
  if (info === null) throw new KeyChanged();
  const about = fieldsOf(info);
  const digest = createDigest(`${VECTOR_SET} ${about.get('quant-type')} ${about.get('vector-dim')}`);
  // So many or more: each of them once.
  const [names] = await session.all([['VRANDMEMBER', key, Math.max(1, asNumber(card))]]);
  const elements = asList(names).map(asBuffer);
  for (let from = 0; from < elements.length; from += AT_ONCE) {
    const some = elements.slice(from, from + AT_ONCE);
    const replies = await session.all(
      some.flatMap((element): Command[] => [
        ['VEMB', key, element, 'RAW'],
        ['VGETATTR', key, element],
      ]),
    );
    digest.add({
      type: 'hash',
      fields: some.map((field, i) => ({
        field,
        value: joined(replies.slice(2 * i, 2 * i + 2)),
        expireAt: -1,
      })),
    });
  }
  return digest;
}

/** Kind of vector, the vector, its length, the range of what it was quantized from; and the attributes, if there are some. */
function joined(replies: readonly Reply[]): Buffer {
  const parts = replies.flatMap((reply) => (Array.isArray(reply) ? reply : [reply]));
  return Buffer.concat(
    parts.flatMap((part) => {
      const bytes =
        part === null ? Buffer.from('none') : asBuffer(typeof part === 'number' ? String(part) : part);
      return [Buffer.from(`${bytes.length}:`), bytes];
    }),
  );
}

function fieldsOf(reply: Reply | undefined): Map<string, string> {
  const list = asList(reply);
  const map = new Map<string, string>();
  for (let i = 0; i + 1 < list.length; i += 2) {
    const value = list[i + 1];
    map.set(
      asText(list[i]),
      Buffer.isBuffer(value) || typeof value === 'string' ? asText(value) : String(value),
    );
  }
  return map;
}

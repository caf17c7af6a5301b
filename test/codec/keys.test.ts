/* Keys: what a file may hold, what is said of one that holds something else, and what happens when it changes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encryption, keyIdOf } from '../../src/codec/codec.js';
import { keysReference, openKeyRing, parseKeys } from '../../src/codec/keys.js';
import { redact } from '../../src/platform/redact.js';
import { sleep } from '../support/world.js';
import { newKey, writeKeys } from './support.js';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ferry-keys-'));
  file = join(folder, 'keys');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const payload = { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('"hello"') };

describe('a file of keys', () => {
  test('the first encrypts, all decrypt; comments and empty lines are nothing', () => {
    const [a, b] = [newKey('a'), newKey('b.2_x-1')];
    const keys = parseKeys({ text: `# ours\r\n\n  ${a}  \n${b}\n`, where: 'f' });
    expect(keys.first?.id).toBe('a');
    expect([...keys.all.keys()]).toEqual(['a', 'b.2_x-1']);
    expect(`a ${keys.first?.key.toString('base64')}`).toBe(a);
  });

  test.each([
    ['', 'f holds no key'],
    ['# only a comment', 'f holds no key'],
    ['abc', 'line 1 must be an id'],
    ['a b c', 'line 1 must be an id'],
    ['a/b AAAA', 'line 1 must be an id'],
    ['a AAAA', 'line 1: the key "a" must be 32 bytes in base64'],
    [`a ${'A'.repeat(44)}`, 'line 1: the key "a" must be 32 bytes in base64'],
    [`${newKey('a')}\n\n${newKey('a')}`, 'line 3: there are two keys "a"'],
  ])('"%s" is refused', (text, message) => {
    expect(() => parseKeys({ text, where: 'f' })).toThrow(message);
  });

  test('what stands there for a key is in no message, also when it is none', () => {
    const wrong = 'c2VjcmV0LXRoYXQtaXMtdG9vLXNob3J0';
    try {
      parseKeys({ text: `a ${wrong}`, where: 'f' });
      expect.unreachable();
    } catch (error) {
      expect(String(error)).not.toContain(wrong);
    }
    expect(redact(`an error that repeats ${wrong}`)).not.toContain(wrong);
  });

  test('the reference', () => {
    expect(keysReference('/etc/keys')).toEqual({ file: '/etc/keys' });
    expect(keysReference('env:KEYS')).toEqual({ env: 'KEYS' });
    expect(() => keysReference('env:')).toThrow('the path of a file with keys, or env:NAME');
  });
});

describe('encryption', () => {
  test('gives back what it was given, and two payloads alike are not alike', async () => {
    await writeKeys(file, newKey('k'));
    const codec = encryption(await openKeyRing(file));
    const [one, two] = await codec.encode([payload, payload]);
    if (!one || !two) return expect.unreachable();
    expect(keyIdOf(one)).toBe('k');
    expect(Buffer.from(one.data ?? [])).not.toEqual(Buffer.from(two.data ?? []));
    const [back] = await codec.decode([one]);
    expect(Buffer.from(back?.data ?? []).toString()).toBe('"hello"');
    expect(Buffer.from(back?.metadata?.['encoding'] ?? []).toString()).toBe('json/plain');
    expect(Buffer.from((await codec.decode([payload]))[0]?.data ?? []).toString()).toBe('"hello"');
    expect(await codec.decode([])).toEqual([]);
  });

  test('a changed byte, and another key of the same name, are noticed', async () => {
    await writeKeys(file, newKey('k'));
    const codec = encryption(await openKeyRing(file));
    const [sealed] = await codec.encode([payload]);
    const data = Buffer.from(sealed?.data ?? []);
    for (const at of [0, 12, data.length - 1]) {
      const damaged = Buffer.from(data);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      await expect(codec.decode([{ ...sealed, data: damaged }])).rejects.toThrow('or it was damaged since');
    }
    await expect(codec.decode([{ ...sealed, data: Buffer.alloc(3) }])).rejects.toThrow('damaged');
    await writeKeys(file, newKey('k'));
    const other = encryption(await openKeyRing(file));
    await expect(other.decode([sealed ?? {}])).rejects.toMatchObject({ type: 'KeyMissing' });
  });

  test('without keys it lets everything through, and says which key it would need', async () => {
    await writeKeys(file, newKey('k'));
    const [sealed] = await encryption(await openKeyRing(file)).encode([payload]);
    const none = encryption(await openKeyRing(undefined));
    expect(await none.encode([payload])).toEqual([payload]);
    await expect(none.decode([sealed ?? {}])).rejects.toThrow(
      'This is encrypted with the key "k", which is not among the keys here (none: FERRY_CODEC_KEYS is not set)',
    );
  });

  test('keys in a variable', async () => {
    process.env['KEYS_OF_THE_TEST'] = newKey('v');
    try {
      const [sealed] = await encryption(await openKeyRing('env:KEYS_OF_THE_TEST')).encode([payload]);
      expect(keyIdOf(sealed ?? {})).toBe('v');
    } finally {
      delete process.env['KEYS_OF_THE_TEST'];
    }
    await expect(openKeyRing('env:KEYS_OF_THE_TEST')).rejects.toMatchObject({ type: 'MissingSecret' });
  });
});

describe('a file that changes', () => {
  test('is read again within a second, and at once for a key that is missing', async () => {
    const [a, b] = [newKey('a'), newKey('b')];
    await writeKeys(file, a);
    const codec = encryption(await openKeyRing(file));
    await codec.encode([payload]);
    const elsewhere = join(folder, 'elsewhere');
    await writeKeys(elsewhere, b);
    const [sealed] = await encryption(await openKeyRing(elsewhere)).encode([payload]);
    await expect(codec.decode([sealed ?? {}])).rejects.toThrow('key "b"');
    await writeKeys(file, b, a);
    await codec.decode([sealed ?? {}]);
    await sleep(1_050);
    expect(keyIdOf((await codec.encode([payload]))[0] ?? {})).toBe('b');
  });

  test('into nonsense, or away, changes nothing and is said once', async () => {
    await writeKeys(file, newKey('a'));
    const said: string[] = [];
    const codec = encryption(await openKeyRing(file, (sentence) => said.push(sentence)));
    await writeFile(file, 'nonsense');
    for (let n = 0; n < 3; n += 1) {
      await sleep(1_050);
      expect(keyIdOf((await codec.encode([payload]))[0] ?? {})).toBe('a');
    }
    expect(said).toEqual([
      expect.stringMatching(/line 1 must be an id.*The keys read before go on being used/),
    ]);
    await rm(file);
    await sleep(1_050);
    expect(keyIdOf((await codec.encode([payload]))[0] ?? {})).toBe('a');
    expect(said[1]).toContain('does not exist');
    await writeKeys(file, newKey('c'));
    await sleep(1_050);
    expect(keyIdOf((await codec.encode([payload]))[0] ?? {})).toBe('c');
  });
});

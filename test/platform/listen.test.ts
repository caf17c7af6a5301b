import { expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { listenAddress } from '../../src/platform/listen.js';

const of = (text: string) => listenAddress({ text, where: 'FERRY_METRICS' }).shown;

test.each([
  ['127.0.0.1:9464', '127.0.0.1:9464'],
  ['0.0.0.0:1', '0.0.0.0:1'],
  ['localhost:9464', '127.0.0.1:9464'],
  [' [::1]:65535 ', '[::1]:65535'],
])('%s', (text, address) => expect(of(text)).toBe(address));

test.each([
  '',
  '9464',
  ':9464',
  '127.0.0.1',
  '127.0.0.1:0',
  '127.0.0.1:65536',
  'example.org:9464',
  '::1:9464',
  '[127.0.0.1]:9464',
  'http://127.0.0.1:9464',
])('"%s" is refused', (text) => {
  expect(() => of(text)).toThrow(FerryError);
  expect(() => of(text)).toThrow(`FERRY_METRICS: "${text}" is not an IP address and a port`);
});

test.each([
  ['127.0.0.1:1', true],
  ['127.8.0.1:1', true],
  ['[::1]:1', true],
  ['0.0.0.0:1', false],
  ['[::]:1', false],
  ['10.0.0.1:1', false],
])('%s is of this machine alone: %s', (text, local) =>
  expect(listenAddress({ text, where: '' }).local).toBe(local),
);

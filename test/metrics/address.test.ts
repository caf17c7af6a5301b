import { expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { metricsAddress } from '../../src/metrics/address.js';

const of = (text: string) => metricsAddress({ text, where: 'FERRY_METRICS' });

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

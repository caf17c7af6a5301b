/* What the words of kubectl and helm mean, where the API server is away: seen with 1.34 and 3.19, its connection cut at any moment. */
import { describe, expect, test } from 'vitest';
import { failureOf } from '../../src/kubernetes/kubectl.js';

const AWAY = [
  'Error: could not get server version from Kubernetes: Get "https://127.0.0.1:37347/version?timeout=32s": EOF',
  'Error: Kubernetes cluster unreachable: Get "https://127.0.0.1:6443/version": dial tcp 127.0.0.1:6443: connect: connection refused',
  'Unable to connect to the server: EOF',
  'error: error sending request: Post "https://127.0.0.1:6443/api/v1/namespaces/a/pods/redis-0/exec": unexpected EOF',
  'The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?\nUnable to connect to the server: net/http: TLS handshake timeout',
  'Error: etcdserver: request timed out',
];

describe('the API server is away', () => {
  test.for(AWAY)('%s', (said) => {
    const of = (changes: boolean) => failureOf({ label: 'helm upgrade', said, exitCode: 1, changes }).type;
    expect(of(false)).toBe('ProviderUnavailable');
    // It may have been done all the same.
    expect(of(true)).toBe('OutcomeUnknown');
  });
});

test('it answered, and refused', () => {
  const type = (said: string) => failureOf({ label: 'kubectl get', said, exitCode: 1, changes: false }).type;
  expect(type('Error from server (NotFound): pods "redis-9" not found')).toBe('NotFound');
  expect(type('Error from server (Forbidden): services is forbidden: User "x"')).toBe('NotPermitted');
  expect(type('error: You must be logged in to the server (Unauthorized)')).toBe('CredentialsRefused');
  expect(type('Error: YAML parse error: geoffrey')).toBe('ProviderRefused');
});

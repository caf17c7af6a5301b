/* A fork as its customer sees it, by what INFO has shown of one that was stuck, of one that loads, and of one that has parted. */
import { describe, expect, test } from 'vitest';
import { forkedIn, isDeaf, wordsOf } from '../../../src/redis/replication/forked.js';

/** As a fork over TLS showed it for hours. */
const STUCK = `# Replication
role:slave
master_host:ec2-a-b-c-d.compute-1.amazonaws.com
master_port:12345
master_link_status:down
master_last_io_seconds_ago:-1
master_sync_in_progress:0
slave_read_repl_offset:0
slave_repl_offset:0
master_link_down_since_seconds:-1
slave_priority:100
slave_read_only:1
replica_announced:1
connected_slaves:0
master_failover_state:no-failover
# Keyspace
`.replaceAll('\n', '\r\n');

describe('a fork', () => {
  test('that never heard of its leader', () => {
    const forked = forkedIn(STUCK);
    expect(isDeaf(forked)).toBe(true);
    expect(wordsOf(forked)).toBe(
      'its link is down, it has never heard of its leader, and no sync is under way',
    );
  });

  test('that reads the data of its leader is not stuck', () => {
    const forked = forkedIn(STUCK.replace('sync_in_progress:0', 'sync_in_progress:1'));
    expect(isDeaf(forked)).toBe(false);
    expect(wordsOf(forked)).toContain('reads');
  });

  test('whose link was up once is not stuck: it comes again', () => {
    expect(isDeaf(forkedIn(STUCK.replace('seconds_ago:-1', 'seconds_ago:7')))).toBe(false);
    expect(isDeaf(forkedIn(STUCK.replace('since_seconds:-1', 'since_seconds:7')))).toBe(false);
  });

  test('that never heard of its leader, as Redis 6.0 says it', () =>
    expect(isDeaf(forkedIn(STUCK.replace('since_seconds:-1', 'since_seconds:1795605153')))).toBe(true));

  test('that is in sync, and then has parted', () => {
    const synced = forkedIn(STUCK.replace('link_status:down', 'link_status:up').replace('ago:-1', 'ago:1'));
    expect(wordsOf(synced)).toBe('it is in sync, and still a replica');
    const parted = forkedIn(
      'role:master\r\nconnected_slaves:0\r\ndb0:keys=12,expires=3\r\ndb3:keys=1,expires=0\r\n',
    );
    expect(parted).toMatchObject({ parted: true, keys: 13 });
    expect(isDeaf(parted)).toBe(false);
  });
});

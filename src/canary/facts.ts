/**
 * The canary: a process of its own that goes through a switch as an application does. It writes numbers to a list, reads each back,
 * loses its connection as everybody does, goes where everybody goes, and at the end compares what it holds as acknowledged with
 * what is there. It is no part of the worker, so that a worker that dies takes no evidence with it.
 *
 * What it tells stands in a file of the upgrade's folder (`facts`); what it is told stands in another (`told`), which whoever
 * switches touches every second. When nobody does, it ends by itself.
 */
import type { ServerAddress } from '../redis/address.js';

/** What a canary is started with, by stdin: it holds passwords. */
export interface CanaryOrder {
  /** 24 hexadecimal digits: names its key. */
  id: string;
  /** Of its connection. */
  connection: string;
  /** Where it goes; from one that closes its connection, or takes no writes, to the next. */
  places: ServerAddress[];
  /** Path of the file that it tells its facts in. */
  facts: string;
  /** Path of the file that says "run" or "end". Untouched for `leaseMs`, or gone, it means the end. */
  told: string;
  leaseMs: number;
}

/** What it knows of itself. Moments are milliseconds since 1970, by its own machine. */
export interface CanaryFacts {
  id: string;
  /** Where it runs, for whoever looks whether it does. */
  host: string;
  pid: number;
  state: 'starting' | 'running' | 'done';
  /** When this was written. */
  at: number;
  /** Writes that the server answered. */
  acknowledged: number;
  /** Of these, how many were read back at the end; null while, and where, that isn't known. */
  present: number | null;
  /** Numbers that are there more than once; null as above. */
  duplicated: number | null;
  /** Writes whose connection was closed before the answer. It never sends one again. */
  unanswered: number;
  /** Of these, how many had run all the same: an application that sends them again would write twice. Null as above. */
  unansweredPresent: number | null;
  /** Writes that were answered with an error. */
  errors: number;
  /** The first word of each error, or the code of a failed connection, and how often. */
  errorKinds: Record<string, number>;
  /** Acknowledged writes that the read right behind them didn't show. */
  notReadBack: number;
  /** The longest from the first try of a write to the answer of the next that got one, in milliseconds. */
  longestWaitMs: number;
  /** Why it could not do its work; empty otherwise. */
  because: string;
  /** When a write was begun, and how long it waited in milliseconds: the time around the switch, at most 200 points. */
  points: [number, number][];
  /** When the first write after a new connection was acknowledged. The first 10. */
  moves: number[];
}

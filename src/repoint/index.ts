/** Telling the applications where their Redis is: one file for each way. */
import type { Repoint } from '../inputs/repoint.js';
import { byHandCommand, describeCommand, repointCommand } from './command.js';
import { byHandHaproxy, describeHaproxy, repointHaproxy } from './haproxy.js';
import { byHandFile, describeFile, finishFile, repointFile } from './file.js';
import {
  byHandSentinels,
  checkSentinels,
  describeSentinels,
  forgetByHand,
  forgetBySentinels,
  lookAtSentinels,
  prepareSentinels,
  repointSentinels,
  type OpenSentinels,
} from './sentinel.js';
import {
  byHandHokusai,
  describeHokusai,
  finishHokusai,
  preflightHokusai,
  repointHokusai,
} from './hokusai.js';
import { byHandServices, describeServices, prepareServices, repointServices } from './kubernetes-service.js';
import type { ApiProxy } from '../kubernetes/api-proxy.js';
import type { Check } from '../contract.js';
import type { ServerAddress } from '../redis/address.js';
import type { SentinelsSeen } from '../redis/sentinel.js';
import type { ByHandInput, Direction, RepointInput, Serving } from './types.js';
import { byHandWebhook, describeWebhook, repointWebhook } from './webhook.js';

export type { Direction, RepointInput, Serving };

/**
 * Safe to repeat at any point, also after a crash. `ready`: what prepareRepoint gave, to be quicker by. Returns what was done, in
 * words. @throws FerryError
 */
export async function repoint(input: RepointInput & { ready?: Readied | undefined }): Promise<string> {
  const { spec } = input;
  switch (spec.kind) {
    case 'file':
      return repointFile({ ...input, spec });
    case 'command':
      return repointCommand({ ...input, spec });
    case 'haproxy':
      return repointHaproxy({ ...input, spec });
    case 'sentinel':
      return repointSentinels({ ...input, spec, open: input.ready?.sentinels });
    case 'kubernetesService':
      return repointServices({ ...input, spec, open: input.ready?.services });
    case 'hokusai':
      return repointHokusai({ ...input, spec });
    default:
      return repointWebhook({ ...input, spec });
  }
}

/** Rows for the checklist before anything is changed. @throws FerryError where what is named isn't there */
export async function preflightRepoint(on: {
  spec: Repoint;
  /** Who serves now. */
  source: ServerAddress;
  signal?: AbortSignal | undefined;
}): Promise<Check[]> {
  const { spec } = on;
  return spec.kind === 'hokusai' ? preflightHokusai({ ...on, spec }) : [];
}

/** Who else watches the servers, where the applications are told by them; null: nobody is asked. */
export async function watchersOf(on: {
  spec: Repoint;
  signal?: AbortSignal | undefined;
}): Promise<SentinelsSeen | null> {
  const { spec, signal } = on;
  return spec.kind === 'sentinel' ? lookAtSentinels({ spec, signal }) : null;
}

/** Holds connections until its end. */
export interface Readied {
  sentinels?: OpenSentinels;
  services?: ApiProxy;
  end: () => void;
}

/** Looks whether repointing will do, before anything is paused, and makes ready what it takes. @throws FerryError */
export async function prepareRepoint(input: RepointInput): Promise<Readied> {
  const { spec } = input;
  if (spec.kind === 'kubernetesService') {
    const services = await prepareServices({ ...input, spec });
    return { services, end: services.end };
  }
  if (spec.kind !== 'sentinel') return { end: () => undefined };
  const sentinels = await prepareSentinels({ ...input, spec });
  return { sentinels, end: sentinels.end };
}

/** Afterwards: whether all of those who were told stand by it. */
export async function checkRepoint(on: {
  spec: Repoint;
  address: ServerAddress;
  signal?: AbortSignal | undefined;
}): Promise<Check[]> {
  const { spec } = on;
  return spec.kind === 'sentinel' ? checkSentinels({ ...on, spec }) : [];
}

/** A server follows no more and doesn't serve: whoever would make it follow again forgets it. Harmless when nobody would. */
export async function forgetServer(on: {
  spec: Repoint;
  gone: ServerAddress;
  signal?: AbortSignal | undefined;
}): Promise<void> {
  const { spec } = on;
  if (spec.kind === 'sentinel') await forgetBySentinels({ ...on, spec });
}

/** The same in lines for a shell. */
export function forgetServerByHand(spec: Repoint): string[] {
  return spec.kind === 'sentinel' ? forgetByHand(spec) : [];
}

/** When there is no going back any more: removes what was kept for it. */
export async function finishRepoint({ spec }: { spec: Repoint }): Promise<void> {
  if (spec.kind === 'file') await finishFile(spec);
  if (spec.kind === 'hokusai') await finishHokusai(spec);
}

/** Sentences for the plan. */
export function describeRepoint(spec: Repoint): string[] {
  switch (spec.kind) {
    case 'file':
      return describeFile(spec);
    case 'command':
      return describeCommand(spec);
    case 'haproxy':
      return describeHaproxy(spec);
    case 'sentinel':
      return describeSentinels(spec);
    case 'kubernetesService':
      return describeServices(spec);
    case 'hokusai':
      return describeHokusai(spec);
    default:
      return describeWebhook(spec);
  }
}

/** Lines for a shell that repoint without Redis Ferry. `endpoint` is where the serving side's URL is kept. */
export function repointByHand(input: ByHandInput): string[] {
  const { spec } = input;
  switch (spec.kind) {
    case 'file':
      return byHandFile({ ...input, spec });
    case 'command':
      return byHandCommand({ ...input, spec });
    case 'haproxy':
      return byHandHaproxy({ ...input, spec });
    case 'sentinel':
      return byHandSentinels({ ...input, spec });
    case 'kubernetesService':
      return byHandServices({ ...input, spec });
    case 'hokusai':
      return byHandHokusai({ ...input, spec });
    default:
      return byHandWebhook({ ...input, spec });
  }
}

/** Every tool, loaded only where it runs. */
export const TOOLS = {
  seed: () => import('./seed.js'),
  'ferry copy': () => import('./ferry-copy.js'),
  'ferry compare': () => import('./ferry-compare.js'),
  'ferry both': () => import('./ferry-both.js'),
  replicaof: () => import('./replicaof.js'),
  migrate: () => import('./migrate.js'),
  ioredis: () => import('./ioredis.js'),
  'redis-shake': () => import('./redis-shake.js'),
  verify: () => import('./verify.js'),
  application: () => import('./application.js'),
  writers: () => import('./writers.js'),
};

export type ToolName = keyof typeof TOOLS;
type Run<Name extends ToolName> = Awaited<ReturnType<(typeof TOOLS)[Name]>>['run'];
export type ToolInput<Name extends ToolName> = Parameters<Run<Name>>[0];
export type ToolFacts<Name extends ToolName> = Awaited<ReturnType<Run<Name>>>;

export interface Task {
  tool: ToolName;
  input: unknown;
}
export type Told =
  { ok: true; facts: object; ms: number; cpuSeconds: number; rssMB: number } | { ok: false; why: string };

/** What most of them are told. */
export interface Ports {
  from: number;
  to: number;
}

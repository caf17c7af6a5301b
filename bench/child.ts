/** Starts tools in processes of their own and hears what they measured. */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ToolFacts, ToolInput, ToolName, Told } from './tools/index.js';

const IN_CHILD = fileURLToPath(new URL('./in-child.js', import.meta.url));

export interface Measured<Facts> {
  facts: Facts;
  /** Wall time, without the start of the process. */
  ms: number;
  cpuSeconds: number;
  /** The most that the process ever had, its start included. */
  rssMB: number;
}

/** Ends it early; it then fails. */
export interface Started<Facts> {
  child: ChildProcess;
  ended: Promise<Measured<Facts>>;
}

export function startTool<Name extends ToolName>(
  tool: Name,
  input: ToolInput<Name>,
): Started<ToolFacts<Name>> {
  // It ends with us, by its channel; what it prints is for people.
  const child = fork(IN_CHILD, { stdio: ['ignore', 2, 2, 'ipc'] });
  const ended = new Promise<Measured<ToolFacts<Name>>>((done, fail) => {
    child.once('error', fail);
    child.once('message', (told: Told) => {
      if (!told.ok) return fail(new Error(`${tool}: ${told.why}`));
      const { facts, ms, cpuSeconds, rssMB } = told;
      done({ facts: facts as ToolFacts<Name>, ms, cpuSeconds, rssMB });
    });
    child.once('exit', (code, signal) => fail(new Error(`${tool} ended early (${signal ?? code})`)));
  });
  child.send({ tool, input });
  return { child, ended };
}

export function runTool<Name extends ToolName>(
  tool: Name,
  input: ToolInput<Name>,
): Promise<Measured<ToolFacts<Name>>> {
  return startTool(tool, input).ended;
}

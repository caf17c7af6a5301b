/** What people want of a running upgrade, as the steering has heard it and the runbook goes by it. */
import type { CancellationScope } from '@temporalio/workflow';
import type { Approval, Plan, Steered } from '../contract.js';

export interface Leaving {
  how: 'rollback' | 'abort';
  by: string;
  why: string;
}

/** When the cutover may begin, and how far it is. */
export interface CutoverState {
  /** Title of the wait before it. */
  title: string;
  /** Milliseconds that it may take. */
  takesMs: number;
  /** "unclear": it failed, and nobody knows how far it came. */
  standing: 'ahead' | 'trying' | 'begun' | 'unclear' | 'done';
  /** What stands before it is behind: the next write begins it. */
  reached: boolean;
}

export interface Steering {
  rejections: (Approval & { gate: string })[];
  steered: Steered[];
  /** How often something was changed. */
  changes: number;
  plan: Plan | null;
  /** Cancelling it makes the body stop where it is. Set by the runbook. */
  forward: CancellationScope | null;
  /** A long activity that hands back its checkpoint when cancelled. */
  running: CancellationScope | null;
  paused: { by: string } | null;
  leaving: Leaving | null;
  /** Somebody asked to go back where that would lose writes: a person must say so in so many words. */
  wantsBack: { by: string } | null;
  answer: { choice: string; by: string } | null;
  /** True once something was, or may have been, changed. */
  written: boolean;
  undoing: boolean;
  /** Null where nothing is switched. Known once there is a plan. */
  cutover: CutoverState | null;
  /** The gate whose approval was given and not used yet. */
  inHand: string | null;
  /** The gate whose approval was used last. */
  spent: string | null;
  /** A gate that asks again: its approval was withdrawn. */
  reopened: string | null;
  /** Of a fleet: leaves a target out. Throws where there is none that could be. */
  leaveOut: ((target: string, by: string) => () => string) | null;
  leave: (by: string, why: string, acceptLoss?: boolean) => () => string;
  abort: (by: string, why: string, leaveAsIs: boolean) => () => string;
  interrupt: () => void;
  spend: () => void;
  unspend: () => void;
}

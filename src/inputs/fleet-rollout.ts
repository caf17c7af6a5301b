/** Input of `fleetRollout`. */
import { z } from 'zod';
import { STRATEGIES, workflowIdOf, type Strategy } from '../contract.js';
import { commonFields, GatePolicy } from './common.js';
import { Duration } from './refs.js';

/** What upgrades or moves one thing. */
export type TargetStrategy = Exclude<Strategy, (typeof OF_OTHERS)[number]>;

/** Those that start others. */
const OF_OTHERS = ['fleetRollout', 'providerMove', 'rehearsal'] as const satisfies Strategy[];

export const StrategyName = z.enum(
  (Object.keys(STRATEGIES) as Strategy[]).filter(
    (name): name is TargetStrategy => !(OF_OTHERS as readonly Strategy[]).includes(name),
  ),
);
const Fields = z.record(z.string(), z.unknown());
const Labels = z.record(z.string(), z.string());

const Target = z
  .strictObject({
    strategy: StrategyName.optional().meta({ description: 'Default: that of `defaults`' }),
    input: Fields.meta({
      description: "The strategy's input, as it is started alone; what `defaults` has is filled in",
      examples: [{ name: 'cache', source: { env: 'OLD_CACHE' }, target: { env: 'NEW_CACHE' } }],
    }),
    labels: Labels.default({}).meta({ description: 'By which waves find it', examples: [{ env: 'dev' }] }),
  })
  .meta({ description: 'One upgrade of the fleet' });

/** Names steps and gates of the runbook too. */
const WaveName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9 ._-]{0,49}$/, 'must be 1 to 50 letters, digits, spaces, dots, dashes')
  .refine((name) => name !== 'start', { error: 'is the name of the first gate' });

const MaxParallel = z.number().int().min(1).max(100);

const Wave = z
  .strictObject({
    name: WaveName.meta({ examples: ['dev', 'staging', 'canary', 'production'] }),
    targets: z.array(Target).min(1).optional().meta({ description: 'What is upgraded in this wave' }),
    match: Labels.optional().meta({
      description: 'Instead of `targets`: those of the list of all targets that have these labels',
      examples: [{ env: 'production', tier: 'gold' }],
    }),
    maxParallel: MaxParallel.optional().meta({ description: 'Default: that of the fleet' }),
    soak: Duration.optional().meta({ description: 'Default: that of the fleet' }),
  })
  .meta({ description: 'Targets that are upgraded before the next wave may begin' });

export interface FleetTarget {
  name: string;
  strategy: TargetStrategy;
  workflowId: string;
  /** As its strategy is given it. */
  input: Record<string, unknown>;
  /** Where it stands in the fleet's input: "waves.0.targets.3". */
  path: string;
}

export interface FleetWave {
  name: string;
  maxParallel: number;
  soak: string;
  targets: FleetTarget[];
}

/** A fleet switches nothing itself: each target has a window of its own. */
const { window: _, notices: __, rehearsed: ___, ...fleetFields } = commonFields;

export const FleetRolloutInput = z
  .strictObject({
    ...fleetFields,
    defaults: z
      .strictObject({
        strategy: StrategyName.optional(),
        input: Fields.default({}).meta({
          description: 'Fields that every target has which does not say otherwise',
          examples: [{ gates: { start: 'auto', cutover: 'auto' }, onFailure: 'rollback' }],
        }),
      })
      .default({ input: {} })
      .meta({ description: 'What most targets have in common' }),
    targets: z.array(Target).default([]).meta({ description: 'All targets, where waves find them by label' }),
    waves: z.array(Wave).min(1).meta({ description: 'In order. Each begins by its gate, named as the wave' }),
    maxParallel: MaxParallel.default(3).meta({ description: 'So many targets are upgraded at a time' }),
    soak: Duration.default('0s').meta({
      description: 'How long to wait after a wave, before the application is tested and the next gate opens',
    }),
    stopOn: z.enum(['unclean', 'failed']).default('unclean').meta({
      description:
        'After which end of a target no other one is begun until a person has decided: "unclean" (its receipt is not clean), or "failed" (it did not complete)',
    }),
    skipDone: z.boolean().default(false).meta({
      description:
        'Leave out targets whose last upgrade has completed with a clean receipt: to resume a fleet',
    }),
    gates: z.record(z.string(), GatePolicy).default({}).meta({
      description:
        'Settles gates ahead ("auto") or asks for two different approvers ({"approvers": 2}). Gates: start, and the name of each wave but the first',
    }),
  })
  .superRefine((input, context) => {
    const issue = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, message });
    const names = input.waves.map(({ name }) => name);
    for (const [at, wave] of input.waves.entries()) {
      if (names.indexOf(wave.name) !== at) issue(['waves', at, 'name'], `"${wave.name}" is there twice`);
      if ((wave.targets === undefined) === (wave.match === undefined))
        issue(['waves', at], 'must hold either `targets` or `match`');
    }
    for (const gate of Object.keys(input.gates))
      if (gate !== 'start' && !names.slice(1).includes(gate))
        issue(['gates', gate], `is no gate. Gates: ${['start', ...names.slice(1)].join(', ')}`);
    const { problems, unmatched, empty } = read(input);
    for (const { path, message } of problems.slice(0, MOST_PROBLEMS)) issue(path, message);
    for (const at of empty) issue(['waves', at, 'match'], 'is on no target');
    if (unmatched.length > 0)
      issue(
        ['targets'],
        `${unmatched.length} of them ${unmatched.length === 1 ? 'is' : 'are'} in no wave, the first is number ${unmatched[0]}`,
      );
  })
  .meta({
    title: 'fleetRollout',
    description: 'Upgrade many targets wave by wave, and stop at the first that is not well',
  });

/** More say no more. */
const MOST_PROBLEMS = 10;

/** What a person writes: only `name` and `waves` are needed. */
export type FleetRolloutInput = z.input<typeof FleetRolloutInput>;
/** What the workflow works with: every default filled in. */
export type FleetRolloutSettings = z.output<typeof FleetRolloutInput>;

/** The waves with what each target is started with. */
export function wavesOf(input: FleetRolloutSettings): FleetWave[] {
  return read(input).waves;
}

type Raw = Pick<
  FleetRolloutSettings,
  'waves' | 'targets' | 'defaults' | 'maxParallel' | 'soak' | 'name' | 'dryRun'
>;

function read(fleet: Raw) {
  const problems: { path: (string | number)[]; message: string }[] = [];
  const known = new Map<string, string>();
  const taken = new Set<number>();
  const empty: number[] = [];

  function targetOf(target: z.output<typeof Target>, path: (string | number)[]): FleetTarget[] {
    const problem = (message: string, ...more: (string | number)[]): [] => {
      problems.push({ path: [...path, ...more], message });
      return [];
    };
    const strategy = target.strategy ?? fleet.defaults.strategy;
    if (strategy === undefined) return problem('names no strategy, and neither does `defaults`', 'strategy');
    const input = { ...fleet.defaults.input, ...target.input };
    const { name } = input;
    if (typeof name !== 'string') return problem('must hold the `name` of the target', 'input');
    const workflowId = workflowIdOf(strategy, name);
    const before = known.get(workflowId);
    if (before !== undefined) return problem(`"${name}" is there already, in ${before}`, 'input', 'name');
    known.set(workflowId, path.join('.'));
    return [{ name, strategy, workflowId, input, path: path.join('.') }];
  }

  const waves = fleet.waves.map((wave, at): FleetWave => {
    const { match } = wave;
    const listed =
      match === undefined
        ? (wave.targets ?? []).flatMap((target, nth) => targetOf(target, ['waves', at, 'targets', nth]))
        : fleet.targets.flatMap((target, nth) => {
            // The first wave that it is of.
            if (
              taken.has(nth) ||
              !Object.entries(match).every(([key, value]) => target.labels[key] === value)
            )
              return [];
            taken.add(nth);
            return targetOf(target, ['targets', nth]);
          });
    if (match !== undefined && listed.length === 0 && problems.length === 0) empty.push(at);
    return {
      name: wave.name,
      maxParallel: wave.maxParallel ?? fleet.maxParallel,
      soak: wave.soak ?? fleet.soak,
      targets: listed,
    };
  });
  const unmatched = fleet.targets.flatMap((_, nth) => (taken.has(nth) ? [] : [nth]));
  return { waves, problems, unmatched, empty };
}

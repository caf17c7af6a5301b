/** Input of `providerMove`. */
import { z } from 'zod';
import { workflowIdOf } from '../contract.js';
import { commonFields, gatesField } from './common.js';
import { AppName } from './heroku.js';
import { Action, Duration } from './refs.js';

export const PROVIDER_MOVE_GATES = ['start', 'checklist', 'cutover', 'afterwards', 'close'] as const;

/** What can wait at a gate of its own until the others are ready too. */
export const STORE_STRATEGIES = ['redisCopy', 'redisSwitchover', 'postgresMove', 'herokuFork'] as const;
export type StoreStrategy = (typeof STORE_STRATEGIES)[number];

/** Walked through before the window, unless the input has a list of its own. */
const CHECKLIST = [
  'The stakeholders were told',
  'The way over and the way back were tried on staging',
  'A second person is here until the end',
  'Dashboards, logs and the commands of the break-glass card are open',
];

const Store = z
  .strictObject({
    strategy: z.enum(STORE_STRATEGIES),
    input: z.record(z.string(), z.unknown()).meta({
      description: "The strategy's input, as it is started alone; its `window` is the one of all stores",
      examples: [
        {
          name: 'cache',
          source: { env: 'OLD_CACHE' },
          target: { env: 'NEW_CACHE' },
          writes: 'running',
          repoint: { kind: 'file', path: '/etc/shop/redis' },
        },
      ],
    }),
    when: z.enum(['window', 'afterwards']).default('window').meta({
      description: 'Switched over in the window, or moved when the application is back',
    }),
    independent: z.boolean().default(false).meta({
      description: 'Its failure takes back itself alone, and the others go on',
    }),
    mayLoseWrites: z.boolean().default(false).meta({
      description: 'It is moved although its plan says that writes may be lost by it',
    }),
  })
  .meta({ description: 'One Redis or PostgreSQL that moves' });

export const ProviderMoveInput = z
  .strictObject({
    ...commonFields,
    stores: z.array(Store).min(1).max(20).meta({ description: 'What moves, in order' }),
    order: z.enum(['together', 'given']).default('together').meta({
      description: 'Whether the stores are switched over at once, or one after the other in the order given',
    }),
    takes: Duration.default('10m').meta({
      description: 'How long the work in the window takes. It is refused where that no longer fits',
    }),
    checklist: z.array(z.string().min(1)).default(CHECKLIST).meta({
      description: 'What people tick, each by its name, before the window. Empty: there is no such gate',
    }),
    checklistBefore: Duration.default('15m').meta({
      description: 'How long before the window opens the checklist is asked for',
    }),
    maintenance: z
      .array(AppName)
      .default([])
      .meta({
        description:
          'Apps at Heroku that are in maintenance mode, with their workers at 0, from the opening of the window until all is verified; not those that a store puts there itself',
        examples: [['shop']],
      }),
    stopWrites: Action.optional().meta({
      description: 'Stops the application writing (command or webhook) at the opening of the window',
    }),
    startWrites: Action.optional().meta({
      description: 'Lets the application write again once all is verified; run on every way out',
    }),
    gates: gatesField(PROVIDER_MOVE_GATES).meta({
      description: `Settles gates ahead ("auto") or says how many approve ({"approvers": 1}). Gates: ${PROVIDER_MOVE_GATES.join(', ')}. \`cutover\` asks two different people unless it is said otherwise`,
    }),
  })
  .superRefine((input, context) => {
    const issue = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, message });
    if ((input.stopWrites === undefined) !== (input.startWrites === undefined))
      issue(
        [input.stopWrites ? 'startWrites' : 'stopWrites'],
        'is needed too: what stops the application has to be undone',
      );
    const ids = new Map<string, number>();
    const resting = new Map<string, string>(input.maintenance.map((app) => [app, 'maintenance']));
    for (const [at, { strategy, input: own }] of input.stores.entries()) {
      const path = ['stores', at, 'input'];
      const { name } = own;
      if (typeof name !== 'string') {
        issue(path, 'must hold the `name` of the store');
        continue;
      }
      const id = workflowIdOf(strategy, name);
      const twin = ids.get(id);
      if (twin !== undefined) issue([...path, 'name'], `"${name}" is stores.${twin} already`);
      ids.set(id, at);
      if (own['window'] !== undefined)
        issue([...path, 'window'], 'is that of the whole move: give it there, once');
      if (own['dryRun'] === true) issue([...path, 'dryRun'], 'is said for the whole move, once');
      if (strategy === 'redisCopy' && own['repoint'] === undefined)
        issue([...path, 'repoint'], 'is needed: without it there is nothing to switch over');
      for (const app of restingApps(strategy, own)) {
        const other = resting.get(app);
        if (other !== undefined)
          issue(
            path,
            `puts ${app} into maintenance mode, and so does ${other}: keep it in one of them, since each gives back what it found`,
          );
        resting.set(app, `stores.${at}`);
      }
    }
    if (input.stores.every(({ when }) => when === 'afterwards'))
      issue(['stores'], 'has none for the window: at least one is switched over in it');
  })
  .meta({
    title: 'providerMove',
    description:
      'Move several stores in one maintenance window: prepared ahead, switched over at one gate, verified, and all back or none',
  });

/** Apps that a store puts into maintenance mode by itself, as far as its input says. */
function restingApps(strategy: StoreStrategy, input: Record<string, unknown>): string[] {
  const texts = (value: unknown): string[] =>
    (Array.isArray(value) ? value : [value]).filter((each): each is string => typeof each === 'string');
  if (strategy === 'herokuFork' && input['mode'] === 'maintenance')
    return [...new Set([...texts(input['app']), ...texts(input['apps'])])];
  return strategy === 'postgresMove' ? texts(input['maintenance']) : [];
}

/** What a person writes: only `name` and `stores` are needed. */
export type ProviderMoveInput = z.input<typeof ProviderMoveInput>;
/** What the workflow works with: every default filled in. */
export type ProviderMoveSettings = z.output<typeof ProviderMoveInput>;
export type StoreSettings = ProviderMoveSettings['stores'][number];

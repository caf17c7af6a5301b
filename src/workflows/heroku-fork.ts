/**
 * herokuFork: a fork of a Key-Value Store at Heroku takes its place, app by app, while nobody writes to the old one. Its runbook for
 * people is docs/runbooks/heroku-fork.md, with the same headings.
 */
import { workflowInfo } from '@temporalio/workflow';
import type { WatchOutcome } from '../activities/closing.js';
import type { Use } from '../activities/decommissioning.js';
import type { HerokuFacts } from '../activities/heroku-apps.js';
import type { ForkFacts, GivingBack, Name } from '../activities/heroku-fork.js';
import type { Sides } from '../activities/sides.js';
import type { Receipt } from '../contract.js';
import { HerokuForkInput, type HerokuForkSettings } from '../inputs/heroku-fork.js';
import { BIG_KEY } from '../inputs/redis-copy.js';
import { milliseconds, type RedisEndpoint } from '../inputs/refs.js';
import { acts, call, changes, looks, moves, reads } from '../runbook/acts.js';
import type { Runbook } from '../runbook/api.js';
import { ending, problemOf } from '../runbook/failure.js';
import { runbook } from '../runbook/runbook.js';
import { preflight, type Found } from './heroku-fork-preflight.js';
import * as say from './heroku-fork-words.js';
import { maintenanceOffForNow, maintenanceOn, workersBackForNow, workersDown } from './heroku-rest.js';
import { compareBoth, mustBeEqual } from './comparing.js';
import { probed } from './probes.js';

export async function herokuFork(raw: unknown): Promise<Receipt> {
  return runbook('herokuFork', HerokuForkInput, raw, async (input, r) => {
    const found = await r.step('Gather information', { read: () => gather(input) });
    const { use, fork: facts, apps } = found;
    const { addon } = use;
    await r.lock([`heroku/${addon.id}`]);
    r.record({
      addon: addon.name,
      versions: { before: facts.store.version, after: input.targetVersion },
      apps,
      before: say.asFound(found),
    });
    await r.checks('Pre-flight', async () => preflight(input, found, Date.now()));

    const on = layout(input, found);
    const { billing, old, oldNames, fork: forkAt } = on;
    await r.gate('start', say.startQuestion(input, found));
    await r.window('Maintenance window', milliseconds(input.forkWithin));

    // ---- Nobody writes to the old one any more.
    r.wayBack({ takes: 'a few minutes: each app gets back what it had, and restarts' });
    const maintained = input.mode === 'maintenance';
    if (maintained) {
      await r.step('Turn maintenance mode on', maintenanceOn(use));
      await r.step('Scale down the workers', workersDown(use));
    }
    await r.step('Keep the old one as OLD_REDIS', {
      does: [
        `attach ${addon.name} as OLD_REDIS too, to ${apps.join(', ')}: the app that pays can not be without it, and the way back needs its address`,
        'each app restarts',
      ],
      foresee: null,
      undo: {
        says: 'detach OLD_REDIS from each app',
        call: call('detachNames', { addon: addon.name, names: oldNames }),
        byHand: say.byHand.detach(oldNames),
      },
      do: () =>
        acts(changes, 'Keep the old one as OLD_REDIS').attachNames({
          addon: addon.name,
          names: oldNames,
          from: [],
        }),
    });
    if (!maintained)
      await r.step('Take Redis away from the apps', {
        does: [
          `detach ${say.namesOf(on.names)}: each app restarts, and runs without Redis`,
          'wait until no dyno runs that knew the address',
        ],
        foresee: null,
        impact: say.DEGRADED,
        undo: {
          says: `attach ${addon.name} again as ${say.namesOf(on.names)}`,
          call: call('attachNames', { addon: addon.name, names: on.names, from: [...on.forks] }),
          byHand: say.byHand.attach(addon.name, on.names, { replace: false }),
        },
        do: () =>
          acts(changes, 'Take Redis away from the apps').detachNames({ addon: addon.name, names: on.names }),
      });

    // ---- The fork.
    const made = await r.step('Make the fork', {
      does: say.forkDoes(input, found, { forks: on.forks, leader: on.leader }),
      foresee: { name: on.forks[0], over: 'tls' as 'tls' | 'clear', seconds: 0 },
      undo: {
        says: 'destroy it; but keep it when an app has written to it',
        call: call('destroyForks', { names: [...on.forks] }),
        byHand: [],
      },
      do: forking(r, input, found, on),
      note: ({ name, over, seconds }) =>
        `${name} in ${seconds} s${over === 'clear' ? ', over the clear port' : ''}`,
    });
    const fork = made.name;
    r.record({ fork: made });
    const carried = await r.step('Carry over the settings', {
      does: ['give the fork the eviction policy, timeout and keyspace notifications of the old one'],
      foresee: { changed: [] as string[] },
      undo: { none: 'they go with the fork' },
      do: () =>
        acts(changes, 'Carry over the settings').carrySettings({ app: billing, from: addon.name, to: fork }),
      note: ({ changed }) => changed.join(', ') || 'they are the same',
    });
    r.record({ settings: carried.changed });
    const compared = await r.step('Compare both sides', {
      does: ['compare type, value and expiry of every key, in both directions, while nobody writes'],
      foresee: null,
      read: () => comparing(r, input, on, addon.name),
      note: (result) => (result ? `${result.keys.toLocaleString('en')} keys, no difference` : ''),
    });
    if (compared) r.record({ comparisonWithWritesStopped: compared.facts });

    // ---- The promotion: the canary by itself where the apps can do without Redis a little longer.
    const back = { old: addon.name, fork, keptAs: on.forkName, seen: compared?.fork ?? null };
    const promoting = (names: Name[]) => ({
      does: [
        `look once more that nobody has written to ${addon.name}`,
        `attach ${fork} as ${say.namesOf(names)}; each app restarts with it`,
      ],
      foresee: null,
      undo: {
        says: `attach ${addon.name} again as ${say.namesOf(names)}`,
        call: call('giveBack', { ...back, names } satisfies GivingBack),
        byHand: say.byHand.attach(addon.name, names, { replace: true }),
        holds: { steps: ['Make the fork'], because: `${fork} is kept: an app may be using it` },
      },
      do: async () => {
        if (compared)
          await acts(reads, 'Nobody has written to the old one').proveUnwritten({
            server: old,
            shown: addon.name,
            since: compared.old,
          });
        // From here on an app may write there.
        r.wayBack({
          keepsWrites: false,
          loses: say.loses(fork, input, { billing, apps, from: `${on.first}_URL`, to: on.oldKey }),
        });
        for (const app of new Set(names.map((each) => each.app)))
          await acts(changes, `Promote the fork on ${app}`).attachNames({
            addon: fork,
            names: names.filter((each) => each.app === app),
            from: [addon.name],
          });
        return null;
      },
    });
    const canary = !maintained && apps.length > 1 ? (apps[0] ?? null) : null;
    if (canary !== null)
      await r.step('Promote on the first app', promoting(on.names.filter(({ app }) => app === canary)));
    const rest = apps.filter((app) => app !== canary);
    await r.gate(
      'promote',
      canary === null
        ? `Promote ${fork} on ${rest.join(', ')}?`
        : `${canary} uses ${fork}. Promote it on ${rest.join(', ')} too?`,
    );
    await r.step('Promote the fork', {
      ...promoting(on.names.filter(({ app }) => app !== canary)),
      cutover: true as const,
      relieves: 'Take Redis away from the apps',
    });
    await r.step('Detach the temporary name', {
      does: [`detach NEW_REDIS from ${billing}`],
      foresee: null,
      undo: {
        says: `attach ${fork} as NEW_REDIS of ${billing} again`,
        call: call('attachNames', {
          addon: fork,
          names: [on.forkName],
          from: [],
        }),
        byHand: say.byHand.attach(fork, [on.forkName], { replace: false }),
      },
      do: () =>
        acts(changes, 'Detach the temporary name').detachNames({
          addon: fork,
          names: [on.forkName],
        }),
    });
    if (maintained) {
      await r.held('maintenance');
      await r.step('Scale the workers back', workersBackForNow(use.before));
      await r.step('Turn maintenance mode off', maintenanceOffForNow(use));
    }

    // ---- Afterwards.
    let left: Use | null = null;
    await r.checks('Validate', async () => {
      await acts(changes, 'Wait for the dynos').waitForDynos({ apps });
      const {
        checks,
        wrote,
        use: used,
      } = await acts({ ...reads, startToCloseTimeout: '5m' }, 'Validate').validateFork({
        fork,
        names: on.names,
        version: input.targetVersion,
        old: { addon: addon.name, server: old, since: compared?.old ?? null },
        server: forkAt(on.first),
        app: billing,
      });
      left = used;
      if (wrote !== null)
        r.blemish(
          `${addon.name} was written to after the comparison, and ${fork} does not have that: ${wrote}`,
        );
      return [...checks, ...(await probed(input))];
    });
    await r.checks('Watch for stragglers', async () => {
      const { checkpoint: seen } = await r.resumable((checkpoint?: WatchOutcome['checkpoint']) =>
        acts(moves, 'Watch the old one for clients that stayed').watchStragglers({
          sides: on.sides(on.first, [0]),
          fence: null,
          forMs: milliseconds(input.keepOldFor),
          checkpoint,
        }),
      );
      r.record({ stragglers: seen });
      const check = say.stragglers(seen, addon.name);
      if (check.status === 'fail') r.blemish(`After the promotion, at ${addon.name}: ${check.actual}`);
      return [check];
    });

    // ---- The old one itself.
    await r.held('close');
    const destroys = await r.gate(
      'destroy',
      `Destroy ${addon.name} and all that it holds? This can not be undone. Rejected, it stays, as OLD_REDIS, and is paid for.`,
      { optional: true },
    );
    if (!destroys) {
      r.warn(`${addon.name} stays, attached as OLD_REDIS to ${apps.join(', ')}, and is paid for`);
      r.wayBack({ possible: false, loses: 'The upgrade is complete.' });
      return;
    }
    let seen: Use | null = null;
    await r.checks('Nobody uses the old add-on', async () => {
      if (!compared || !left) throw new Error('nobody has compared or watched');
      const { checks, now } = await acts(reads, 'Who uses the old one').proveUnused({
        server: old,
        // Writes count since the comparison, which reads itself; reads since the promotion.
        since: {
          ...compared.old,
          calls: compared.old.calls &&
            left.calls && { write: compared.old.calls.write, read: left.calls.read },
        },
        moment: 'both were compared',
      });
      seen = now;
      return checks;
    });
    const elsewhere = oldNames.filter(({ app }) => app !== billing);
    const destroying = { addon: addon.name, elsewhere, server: old };
    await r.pointOfNoReturn('Point of no return', `${addon.name} is destroyed from here on`, {
      says: `destroy ${addon.name}, unless it is used`,
      call: call('destroyOld', { ...destroying, seen }),
      byHand: [],
    });
    await r.step('Destroy the old add-on', {
      does: [
        'look once more that nobody came since the approval',
        ...(elsewhere.length > 0 ? [`detach ${say.namesOf(elsewhere)}; these apps restart`] : []),
        `destroy ${addon.name}, with what it holds`,
      ],
      foresee: null,
      undo: { none: 'it is gone; the fork has what it held' },
      skippable: true,
      do: async () => {
        await acts(changes, 'Destroy the old add-on').destroyOld({ ...destroying, seen });
        return null;
      },
    });
    r.wayBack({ possible: false, loses: 'The upgrade is complete.' });
  });
}

async function gather(input: HerokuForkSettings): Promise<Found> {
  const use = await acts(looks, 'Look at the add-on and its apps').describeAddOn({ addon: input.addon });
  const { addon } = use;
  const users = use.apps.map(({ name }) => name);
  const billing = addon.billingApp.name;
  // The canary first; the one that pays last, unless the input says otherwise.
  const apps = input.apps?.filter((app) => users.includes(app)) ?? [
    ...users.filter((app) => app !== billing),
    ...users.filter((app) => app === billing),
  ];
  const as = nameAt(use, billing);
  const plan = input.plan === undefined ? addon.plan : `${addon.service}:${input.plan.replace(/^.*:/, '')}`;
  if (as === null)
    throw ending(
      'NotFound',
      `${addon.name} has no attachment that can be seen on ${billing}, which pays for it. Give the account ${use.account} access to that app.`,
    );
  const fork: ForkFacts = await acts(
    { ...looks, startToCloseTimeout: '2m' },
    'Look at the store and its server',
  ).describeFork({ addon: addon.name, service: addon.service, at: { app: billing, as }, apps: users });
  return { use, fork, apps, plan };
}

function nameAt({ apps }: HerokuFacts, app: string): string | null {
  const names = apps.find(({ name }) => name === app)?.attachments ?? [];
  return names.find((name) => !/^(OLD|NEW)_REDIS$/.test(name)) ?? names[0] ?? null;
}

type Layout = ReturnType<typeof layout>;

/** Under which names both are to be found, and by which config variables they are asked. */
function layout(input: HerokuForkSettings, { use, fork: facts, apps }: Found) {
  const billing = use.addon.billingApp.name;
  const names: Name[] = apps.flatMap((app) =>
    (use.apps.find(({ name }) => name === app)?.attachments ?? []).map((as) => ({ app, as })),
  );
  const first = nameAt(use, billing) ?? 'REDIS';
  const leader = 'OLD_REDIS';
  const oldKey = `${leader}${facts.ending}`;
  const old: RedisEndpoint = {
    herokuConfig: { app: billing, key: oldKey },
    ...(facts.secure ? { tls: { insecure: true } } : {}),
  };
  const fork = (as: string): RedisEndpoint => ({
    herokuConfig: { app: billing, key: `${as}_URL` },
    tls: { insecure: true },
  });
  // Its end: the beginning of a run ID is the time, and an upgrade begun in the same minute would take the fork for its own.
  const id = workflowInfo().runId.replaceAll('-', '').slice(-12);
  return {
    billing,
    names,
    /** A name of the old one on the billing app, which the fork takes over. */
    first,
    leader,
    oldKey,
    old,
    oldNames: apps.map((app): Name => ({ app, as: leader })),
    fork,
    forkName: { app: billing, as: 'NEW_REDIS' } satisfies Name,
    /** Chosen here, so that a second try knows the first one's: over TLS, and over the clear port. */
    forks: [`redis-ferry-${id}-a`, `redis-ferry-${id}-b`] as const,
    sides: (as: string, databases: readonly number[]): Sides => ({
      source: old,
      target: fork(as),
      databases: databases.map((number) => [number, number] as const),
      match: '*',
      ifTargetHasKeys: 'refuse',
      bigKey: BIG_KEY,
      rate: 'full',
      track: true,
      debug: input.debug,
    }),
  };
}

/** One fork at a time: a stuck one is destroyed, by its name, before another is made. */
function forking(r: Runbook, input: HerokuForkSettings, { use, fork: facts, plan }: Found, on: Layout) {
  let over: 'tls' | 'clear' = 'tls';
  return async () => {
    for (;;) {
      const [first, second] = on.forks;
      const name = over === 'tls' ? first : second;
      if (over === 'clear') await acts(changes, 'Destroy the stuck fork').destroyForks({ names: [first] });
      try {
        await acts(changes, 'Make the fork').makeFork({
          app: on.billing,
          name,
          plan,
          version: input.targetVersion,
          attachment: on.forkName.as,
          leader: on.leader,
          over,
        });
      } catch (error) {
        const { type, message } = problemOf(error);
        // No retry mends that, and users wait.
        if (type === 'ProviderRefused' && /version/i.test(message)) await r.goBack(message);
        throw error;
      }
      const stands = await acts(
        { ...moves, retry: { ...moves.retry, maximumAttempts: 5 } },
        'Wait for the fork',
      ).waitForFork({
        app: on.billing,
        name,
        endpoint: on.fork(on.forkName.as),
        keys: Object.values(facts.server.databases).reduce((sum, { keys }) => sum + keys, 0),
        within: milliseconds(input.forkWithin),
        stuckAfter: milliseconds(input.stuckAfter),
      });
      if (stands.state === 'ready') {
        if (!`${stands.version}.`.startsWith(`${input.targetVersion}.`))
          throw ending(
            'ProviderRefused',
            `Heroku made ${name} with version ${stands.version}, not ${input.targetVersion}`,
          );
        return { name, over, seconds: stands.seconds };
      }
      if (over === 'clear')
        throw ending(
          'ForkStuck',
          `${name} is stuck too, over the clear port: for ${stands.seconds} s ${stands.seen}. ${use.addon.name} may have no clear port`,
        );
      const problem = say.stuck(name, stands);
      if (input.forkOverClearPort) {
        r.warn(problem);
        over = 'clear';
        continue;
      }
      const choice = await r.decide({
        about: 'Make the fork',
        problem,
        choices: { ...say.stuckChoices(first, second), ...r.waysOut() },
      });
      if (choice === 'continue') over = 'clear';
    }
  };
}

interface Compared {
  keys: number;
  facts: Record<string, unknown>;
  /** As it was used before. */
  old: Use;
  /** As it was used after. */
  fork: Use;
}

/** Key by key, between two looks at the old one that show that nobody wrote meanwhile. */
async function comparing(
  r: Runbook,
  input: HerokuForkSettings,
  on: Layout,
  old: string,
): Promise<Compared | null> {
  const fork = on.fork(on.forkName.as);
  const before = await acts(looks, 'Look at both').lookAtBoth({ old: on.old, fork });
  // Without a tracker: whoever writes is seen by the server's own counters, and nothing is made good.
  const sides = { ...on.sides(on.forkName.as, before.databases), track: false };
  const result = mustBeEqual(await compareBoth(r, () => sides));
  await acts(reads, 'Nobody wrote meanwhile').proveUnwritten({
    server: on.old,
    shown: old,
    since: before.old,
  });
  // Asked afterwards: the comparison tries writes that are refused.
  const forkUse = await acts(reads, 'Remember how the fork is used').lookAtUse({ server: fork });
  return {
    keys: result.keysCompared,
    facts: say.comparison(result),
    old: before.old,
    fork: forkUse,
  };
}

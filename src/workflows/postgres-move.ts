/**
 * postgresMove: moves a PostgreSQL database to another server by dump and restore, then switches the applications over.
 * Its runbook for people is docs/runbooks/postgres-move.md, with the same headings.
 *
 * A dump is of one moment, so nothing may be written from then on until the applications are switched: the source is closed to writes
 * first, and that it stayed so is proven before the cutover. It stays closed until the way back is closed too.
 */
import type { Receipt } from '../contract.js';
import type { Compared, DumpFacts } from '../activities/postgres-moving.js';
import type { SoakedDatabases } from '../activities/postgres-switching.js';
import { PostgresMoveInput } from '../inputs/postgres-move.js';
import { milliseconds } from '../inputs/refs.js';
import { acts, call, changes, inspects, looks, moves, switches } from '../runbook/acts.js';
import { ending } from '../runbook/failure.js';
import { runbook } from '../runbook/runbook.js';
import { keptElsewhere, notesElsewhere, saysElsewhere } from './backup-step.js';
import { maintenanceOffForNow, maintenanceOn, workersBackForNow, workersDown } from './heroku-rest.js';
import * as say from './postgres-move-words.js';
import { probed } from './probes.js';
import { stopTheApplication } from './stop-writes.js';

const RESTORE = 'Restore into the target';
const EMPTY = 'Empty the target';

export async function postgresMove(raw: unknown): Promise<Receipt> {
  return runbook('postgresMove', PostgresMoveInput, raw, async (input, r) => {
    const facts = await r.step('Gather information', {
      read: () => acts(looks, 'Ask both servers').describeDatabases({ settings: input }),
      note: say.found,
    });
    const { source, target, folders, resting, byHand } = facts;
    await r.lock(say.locks(facts));
    const sides = say.sidesOf(input, facts);
    const closing = say.closingOf(sides, facts);
    const tables = source.counts.tables;
    r.record({ servers: say.servers(facts) });
    await r.checks('Pre-flight', () =>
      acts(inspects, 'Pre-flight checklist').preflightDatabases({ settings: input, facts }),
    );
    await r.gate('start', say.mayStart(facts));

    // ---- The target, while the application goes on.
    const cleans = input.clean && facts.holds;
    if (cleans) {
      const into = { sides, folder: folders.kept };
      await r.gate('clean', say.mayClean(facts));
      const kept = await r.step('Keep what the target holds', {
        does: [`dump all of ${target.shown} into ${folders.kept} on the worker`],
        foresee: null,
        undo: { none: 'nothing was changed; the dump stays' },
        do: () => acts(moves, 'Keep what the target holds').keepTargetContent(into),
        note: (result) => (result ? say.dumped(result) : ''),
      });
      if (kept) r.record({ kept: { folder: folders.kept, ...kept } });
      const { backup: wanted } = input;
      if (wanted?.verify) {
        const database = say.trialOf(facts);
        const tried = await r.step('Try what was kept', {
          does: say.trialSays(facts),
          foresee: null,
          undo: {
            says: `drop the database ${database}, if it is there`,
            call: call('dropTrialDatabase', { sides, database }),
            byHand: [],
            independent: true,
          },
          skippable: true,
          do: () => acts(moves, 'Try what was kept').tryKeptDump({ ...into, database }),
          note: (result) => (result?.compared ? say.compared(result.compared) : ''),
        });
        if (tried?.compared) r.record({ tried: say.comparison(tried.compared) });
        else if (tried)
          r.warn(`What ${target.shown} held was not tried: ${target.user} may not make a database there.`);
      }
      if (wanted?.copies ?? wanted?.keep) {
        const elsewhere = {
          folder: folders.kept,
          bytes: kept?.bytes ?? 0,
          title: 'Copy what was kept',
          backup: { ...wanted, folder: input.folder },
        };
        const copied = await r.step('Copy what was kept', {
          does: saysElsewhere(wanted),
          foresee: null,
          undo: { none: 'the copies stay' },
          skippable: true,
          do: () => keptElsewhere(r, elsewhere),
          note: (result) => (result ? notesElsewhere(result).join('; ') : ''),
        });
        if (copied) r.record({ keptElsewhere: { ...copied } });
      }
      await r.step('Empty the target', {
        does: [
          `destroy everything in ${target.shown}; the database itself, its settings and its rights stay`,
        ],
        foresee: null,
        undo: {
          says: 'put back what the target held, with owners and rights, and compare it',
          call: call('putTargetBack', into),
          byHand: [],
        },
        do: () => acts(moves, 'Empty the target').emptyTargetDatabase(into),
        note: (result) => result?.found ?? '',
      });
    }
    await r.window('Maintenance window', say.takesMs(facts));

    // ---- Nothing is written any more.
    const apps = resting?.before ?? [];
    if (resting && apps.length > 0) {
      await r.step('Turn maintenance mode on', maintenanceOn(resting));
      await r.step('Scale down the workers', workersDown(resting));
    }
    const stops = stopTheApplication(input);
    if (stops) await r.step('Stop the application writing', stops.stop);
    r.wayBack({ takes: 'seconds, and as long as it takes to empty the target' });
    const closed = await r.step('Close the source to writes', {
      does: say.closeSays(facts),
      foresee: null,
      impact: `the application can read ${source.shown}, and can not write`,
      undo: {
        says: 'let the source take writes again, exactly as it was set before',
        call: call('openSource', closing),
        byHand: closing.may ? byHand.open : [],
      },
      do: () => acts(changes, 'Close the source to writes').closeSource(closing),
      note: (result) =>
        result
          ? `${result.ended} sessions ended${result.stay.length > 0 ? `; these could not be: ${result.stay.join(', ')}` : ''}`
          : '',
    });
    if (closed) r.record({ closed });
    const since = Date.now();

    const deleted = {
      says: 'delete the dump',
      call: call('dropDump', { folder: folders.source }),
      byHand: [],
      independent: true,
    };
    const backup = say.backupOf(input);
    let dumped: DumpFacts | null;
    if (backup) {
      const taken = await r.step('Take a backup at Heroku', {
        does: [`heroku pg:backups:capture ${backup.key} --app ${backup.app}, and wait for it`],
        notes: say.sizes(facts),
        foresee: null,
        undo: { none: 'nothing was changed; the backup stays at Heroku' },
        do: () => acts(moves, 'Take a backup at Heroku').takeHerokuBackup(backup),
        note: (result) => (result ? `${result.name}, in ${result.seconds} s` : ''),
      });
      if (taken) r.record({ herokuBackup: taken });
      dumped = await r.step('Download the backup', {
        does: [`download it into ${folders.source} on the worker`],
        foresee: null,
        undo: deleted,
        do: async () =>
          taken &&
          acts(moves, 'Download the backup').downloadHerokuBackup({ ...taken, folder: folders.source }),
        note: (result) => (result ? say.dumped(result) : ''),
      });
    } else {
      dumped = await r.step('Dump the source', {
        does: [`pg_dump ${source.shown} into ${folders.source} on the worker, as of one moment`],
        notes: say.sizes(facts),
        foresee: null,
        undo: deleted,
        do: () => acts(moves, 'Dump the source').dumpSource({ sides, folder: folders.source, tables }),
        note: (result) => (result ? say.dumped(result) : ''),
      });
    }
    if (dumped) r.record({ dump: dumped });
    const restored = await r.step('Restore into the target', {
      does: say.restoreSays(facts),
      foresee: null,
      undo: {
        says: cleans
          ? 'empty the target again'
          : 'take everything that was restored out of the target, which was empty before',
        call: call('takeOutOfTarget', { sides, cleaned: cleans }),
        byHand: [],
      },
      do: () => acts(moves, RESTORE).fillTargetDatabase({ sides, folder: folders.source }),
      note: (result) => (result ? say.restored(result) : ''),
    });
    if (restored) r.record({ restore: restored });
    const compared = await r.step('Compare both sides', {
      does: say.COMPARE_SAYS,
      foresee: null,
      read: async () =>
        mustBeEqual(await acts(moves, 'Compare both sides').compareDatabases({ sides, tables })),
      note: (result) => (result ? say.compared(result) : ''),
    });
    if (compared) r.record({ comparison: say.comparison(compared) });
    if (compared?.extensionsAdded) r.warn(say.added(compared.extensionsAdded, facts));

    // ---- The switch.
    await r.gate('cutover', say.mayCutOver(facts));
    const { name, repoint } = input;
    const there = { ...closing, name, repoint, targetBefore: target.readOnly };
    const switched = await r.step('Switch the applications over', {
      does: say.switchSays(facts),
      foresee: null,
      cutover: true,
      undo: {
        says: 'switch back to the source, which takes writes again; asks first where the target was written to',
        call: call('switchDatabasesBack', {
          ...there,
          keepSteps: [RESTORE, EMPTY],
        }),
        byHand: [...byHand.repointBack, ...(closing.may ? byHand.open : [])],
        holds: {
          steps: [RESTORE, EMPTY],
          because: `${target.shown} keeps all it holds: the applications may be using it`,
        },
      },
      do: () =>
        acts(switches, 'Switch the applications over').switchDatabases({
          ...there,
          compared: mustBeThere(compared),
        }),
      relieves: 'Close the source to writes',
      note: (result) => result?.said ?? '',
    });
    if (switched) {
      r.record({
        switch: { proven: switched.proven, secondsClosedToWrites: Math.round((switched.at - since) / 1_000) },
      });
      r.wayBack({
        keepsWrites: false,
        loses: `what is written to ${target.shown} since the switch`,
        takes: 'seconds',
      });
    }
    if (stops || apps.length > 0) await r.held('maintenance');
    if (stops) await r.step('Let the application write again', stops.start);
    if (resting && apps.length > 0) {
      await r.step('Scale the workers back', workersBackForNow(apps));
      await r.step('Turn maintenance mode off', maintenanceOffForNow(resting));
    }

    // ---- Afterwards.
    if (input.probes.length > 0) await r.checks('Test the application', () => probed(input));
    await r.checks('Soak', async () => {
      const { checkpoint: seen } = await r.resumable((checkpoint?: SoakedDatabases) =>
        acts(moves, 'Watch both sides').soakDatabases({
          ...closing,
          compared: mustBeThere(compared),
          forMs: milliseconds(input.soak),
          checkpoint,
        }),
      );
      r.record({ soak: seen });
      const check = say.soaked(seen, facts);
      if (check.status === 'fail') r.blemish(`After the switch, at ${source.shown}: ${check.actual}`);
      return [check];
    });
    const end = { ...closing, repoint, folder: folders.source };
    await r.closeWayBack('the way back is being closed', {
      says: 'let the source take writes again, and remove what was kept for the way back',
      call: call('settleDatabases', end),
      byHand: closing.may ? byHand.open : [],
    });
    await r.step('Close the way back', {
      does: [
        'let the source take writes again, as it was set before: an ordinary database that nobody uses',
        'delete the dump, and what was kept at the target for going back',
      ],
      foresee: undefined,
      undo: { none: 'the move is complete' },
      do: () => acts(changes, 'Close the way back').settleDatabases(end),
    });
    r.wayBack({ possible: false, loses: 'The move is complete; move back with another postgresMove.' });
  });
}

/** @throws ApplicationFailure ComparisonDiffers */
function mustBeEqual(result: Compared): Compared {
  if (result.differences > 0) throw ending('ComparisonDiffers', say.differences(result));
  return result;
}

/** Nothing is switched without a clean comparison of this very run. */
function mustBeThere(compared: Compared | null): Compared {
  if (compared === null)
    throw ending('ComparisonDiffers', 'Both sides were not compared, so nothing is switched.');
  return compared;
}

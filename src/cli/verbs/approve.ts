import type { Command } from 'commander';
import type { Plan, State } from '../../contract.js';
import { globals, ID, withSpeaker, type Cli, type SpeakerOptions } from '../cli.js';
import { CliError } from '../exit.js';
import type { Io } from '../io.js';

interface ApproveOptions extends SpeakerOptions {
  yes?: boolean;
  planHash?: string;
}

export function approve(program: Command, cli: Cli): void {
  withSpeaker(
    program
      .command('approve')
      .description(
        'say yes at a gate. On a terminal it shows the question, and the plan where you have not seen it, and asks',
      )
      .argument('<id>', ID)
      .argument('<gate>', 'name of the gate'),
  )
    .option('-y, --yes', 'do not ask')
    .option(
      '--plan-hash <hash>',
      'the plan that was looked at (default: the one last shown to you); a plan that changed since is refused',
    )
    .action(async (id: string, gate: string, options: ApproveOptions, command: Command) => {
      const [
        { withSession },
        { ask, look, tell, workflowIdFor },
        { queries },
        { speaker },
        { lastShown, remember },
      ] = await Promise.all([
        import('../session.js'),
        import('../upgrade.js'),
        import('../../contract.js'),
        import('../speaker.js'),
        import('../shown.js'),
      ]);
      const by = await speaker(cli.io, options.by);
      await withSession(cli.io, globals(command), async (session) => {
        const workflowId = await workflowIdFor(session, id);
        const { runId, state, trouble } = await look(session, workflowId);
        // What nobody can show, nobody should approve.
        if (!state && trouble !== undefined) throw new CliError(trouble);
        const shown = options.planHash ?? (await lastShown(runId));
        let planHash = shown;
        const isOpen = state?.gates.some((each) => each.name === gate && each.status === 'open') === true;
        // A gate that isn't open is refused by the upgrade itself, in its own words.
        if (isOpen && cli.io.interactive && options.yes !== true) {
          const plan = await ask(session, workflowId, queries.plan);
          await confirm({
            io: cli.io,
            state,
            gate,
            by,
            plan: plan !== null && plan.hash !== shown ? plan : null,
            changed: shown !== undefined,
          });
          // What was on the screen when the person said yes.
          planHash = plan?.hash ?? planHash;
          if (planHash !== undefined) await remember(runId, planHash);
        }
        // Nobody was shown anything: at least it can't change between here and there.
        planHash ??= state?.planHash || undefined;
        const { note } = options;
        cli.io.print(
          await tell(session, workflowId, 'approve', {
            gate,
            by,
            ...(note === undefined ? {} : { note }),
            ...(planHash === undefined ? {} : { planHash }),
          }),
        );
      });
    });
}

async function confirm(options: {
  io: Io;
  state: State;
  gate: string;
  by: string;
  plan: Plan | null;
  changed: boolean;
}): Promise<void> {
  const { io, state, gate, by, plan, changed } = options;
  const [{ planLines }, { view }] = await Promise.all([import('../plan-view.js'), import('../view.js')]);
  const { columns } = io.size();
  if (plan) {
    io.print(planLines(plan, { colours: io.colours, columns }).join('\n'));
    io.print(changed ? `\n${io.colours.yellow('The plan has changed since you looked at it last.')}\n` : '');
  } else {
    io.print(view({ state, live: null, now: Date.now() }, { colours: io.colours, columns }).join('\n'));
    io.print('');
  }
  const question = state.gates.find((each) => each.name === gate)?.question ?? '';
  const answer = await io.ask(`${io.colours.bold(question)}\nApprove "${gate}" as ${by}? [y/N] `);
  if (!/^y(es)?$/i.test(answer.trim()))
    throw new CliError('Not approved.', {
      next: ['Nothing was sent. `ferry reject` says no to the upgrade.'],
    });
}

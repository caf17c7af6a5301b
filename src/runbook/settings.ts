/** What can be changed while it runs: settings, when the cutover begins, and an approval that wasn't used yet. */
import { ENDED, type GateState, type Messages, type State, type Steered } from '../contract.js';
import { milliseconds } from '../inputs/refs.js';
import { refusal } from './failure.js';
import { now } from './ledger.js';
import type { Steering } from './wishes.js';

/** Each change is a few events of a history that can't grow for ever. */
const MOST_CHANGES = 200;
/** Later than that is a slip of the pen. */
const MOST_AHEAD = { ms: 90 * 24 * 3_600_000, says: '90 days' };

/** Two names are one person when they differ in case and spaces only. */
export function person(name: string): string {
  return name.trim().toLowerCase().replace(/\s+/g, ' ');
}

type Take = { [Name in 'adjust' | 'postpone' | 'withdraw']: (message: Messages[Name]) => () => string };

/** Like everything that is said, each first looks, throwing a refusal, and returns what to do. */
export function changing(state: State, steering: () => Steering): Take {
  function mayChange(what: string): Steering {
    const it = steering();
    if (ENDED.includes(state.phase) || it.undoing) throw refusal(`Nothing to ${what}: it is ${state.phase}.`);
    if (it.leaving) throw refusal(`Nothing to ${what}: it is on its way back.`);
    if (it.changes >= MOST_CHANGES)
      throw refusal(`It was changed ${MOST_CHANGES} times already, which is all that its history holds.`);
    return it;
  }

  function keep(what: string, { by, note }: { by: string; note?: string }): void {
    const steered: Steered = { what, by, at: now(), ...(note === undefined ? {} : { note }) };
    steering().steered.push(steered);
    steering().changes += 1;
  }

  /** Refuses what would end after the window. */
  function mustFit(
    at: number,
    window: { closesAt: string } | undefined,
    takesMs: number,
    instead: string,
  ): void {
    if (!window || at + takesMs <= Date.parse(window.closesAt)) return;
    throw refusal(
      `The window closes at ${window.closesAt}, and the cutover may take ${Math.ceil(takesMs / 1_000)} s: begun at ${new Date(at).toISOString()} it would not fit. ${instead}`,
    );
  }

  return {
    adjust(message) {
      const { rate, window, maxPause, maxLag } = message;
      const it = mayChange('adjust');
      const { settings, strategy } = state;
      const { cutover } = it;
      for (const [name, value] of [
        ['maxPause', maxPause],
        ['maxLag', maxLag],
      ] as const) {
        if (value === undefined) continue;
        if (settings[name] === undefined) throw refusal(`${strategy} has no \`${name}\`.`);
        if (it.plan && !cutover) throw refusal(`It switches nothing, so \`${name}\` changes nothing.`);
        if (cutover?.standing === 'done')
          throw refusal(`The cutover is behind it, so \`${name}\` changes nothing any more.`);
      }
      if (window && cutover && settings.notBefore !== undefined)
        mustFit(
          Math.max(Date.parse(settings.notBefore), Date.parse(window.opensAt)),
          window,
          cutover.takesMs,
          'Postpone it to an earlier moment first.',
        );
      const was = { ...settings };
      const news = [
        rate === undefined || rate === was.rate ? [] : [{ name: 'rate', old: was.rate, new: rate }],
        window === undefined ||
        (window.opensAt === was.window?.opensAt && window.closesAt === was.window.closesAt)
          ? []
          : [{ name: 'window', old: spanOf(was.window), new: spanOf(window) }],
        maxPause === undefined || maxPause === was.maxPause
          ? []
          : [{ name: 'maxPause', old: was.maxPause, new: maxPause }],
        maxLag === undefined || maxLag === was.maxLag
          ? []
          : [{ name: 'maxLag', old: was.maxLag, new: `${maxLag} bytes` }],
      ].flat();
      if (news.length === 0) throw refusal('It is so already.');
      return () => {
        for (const { name, old, new: next } of news)
          keep(`${name} ${old === undefined ? '' : `${old} → `}${next}`, message);
        if (window !== undefined) settings.window = window;
        if (rate !== undefined) settings.rate = rate;
        if (maxPause !== undefined) settings.maxPause = maxPause;
        if (maxLag !== undefined) settings.maxLag = maxLag;
        const trying = cutover?.standing === 'trying';
        const limits = maxPause !== undefined || maxLag !== undefined;
        // A copy takes up its new rate at once, a cutover its new limits with its next try.
        if (trying ? limits : rate !== undefined) it.interrupt();
        return `Adjusted: ${news.map(({ name, new: next }) => `${name} ${next}`).join(', ')}${trying && limits ? ', from the next try on' : ''}.`;
      };
    },
    postpone(message) {
      const { by, until, for: length } = message;
      const it = mayChange('postpone');
      const { cutover } = it;
      if (!it.plan) throw refusal('Its plan is still being made. Say it again in a moment.');
      if (!cutover) throw refusal('It switches nothing, so there is no cutover to postpone.');
      const { standing, takesMs } = cutover;
      if (standing === 'unclear')
        throw refusal(
          'How far the cutover came is not known, and writes may be held: answer the decision instead of postponing it.',
        );
      if (standing === 'begun' || standing === 'done')
        throw refusal(
          `The cutover ${standing === 'done' ? 'is behind it' : 'has begun'}: it can't be postponed any more.`,
        );
      const at = until === undefined ? Date.now() + milliseconds(length ?? '') : Date.parse(until);
      if (at <= Date.now())
        throw refusal(
          `${new Date(at).toISOString()} lies in the past. To begin as soon as may be, postpone it for "1s".`,
        );
      if (at - Date.now() > MOST_AHEAD.ms)
        throw refusal(`${new Date(at).toISOString()} is more than ${MOST_AHEAD.says} ahead.`);
      mustFit(at, state.settings.window, takesMs, 'Give a later window with `adjust` first.');
      return () => {
        const notBefore = new Date(at).toISOString();
        keep(`postponed until ${notBefore}`, message);
        state.settings.notBefore = notBefore;
        state.settings.postponedBy = by;
        if (standing !== 'trying') return `Postponed: the cutover does not begin before ${notBefore}.`;
        it.interrupt();
        return `Postponed: between two tries it stops, and waits until ${notBefore}; unless it goes through before that.`;
      };
    },
    withdraw({ gate: name, by, note }) {
      const it = mayChange('withdraw');
      const gate = state.gates.find((candidate) => candidate.name === name);
      if (!gate)
        throw refusal(
          `There is no gate "${name}". Gates: ${state.gates.map((candidate) => candidate.name).join(', ') || 'none yet'}.`,
        );
      if (gate.auto)
        throw refusal(
          `Gate "${name}" is settled ahead in the input: there is no approval to withdraw. \`pause\` holds it, \`rollback\` goes back.`,
        );
      const given = gate.approvals.find((approval) => person(approval.by) === person(by));
      if (!given) throw refusal(`${by} has not approved gate "${name}"${others(gate)}.`);
      if (gate.status === 'approved' && it.inHand !== name)
        throw refusal(
          it.cutover?.standing === 'trying' && it.spent === name
            ? `The cutover is being tried on the approval of gate "${name}". \`postpone\` or \`pause\` it, then withdraw.`
            : `The approval of gate "${name}" was used already: what it was for has begun.`,
        );
      return () => {
        gate.approvals = gate.approvals.filter((approval) => approval !== given);
        gate.withdrawn = [
          ...(gate.withdrawn ?? []),
          { by: given.by, approvedAt: given.at, at: now(), ...(note === undefined ? {} : { note }) },
        ];
        it.changes += 1;
        if (gate.status === 'approved') {
          gate.status = 'planned';
          it.inHand = null;
          it.reopened = name;
        }
        return `Withdrawn: gate "${name}" needs ${gate.needs - gate.approvals.length} approval${gate.needs - gate.approvals.length > 1 ? 's' : ''} more.`;
      };
    },
  };
}

function others({ approvals }: GateState): string {
  return approvals.length === 0 ? '' : `; ${approvals.map(({ by }) => by).join(' and ')} did`;
}

function spanOf(window: { opensAt: string; closesAt: string } | undefined): string | undefined {
  return window && `${window.opensAt} to ${window.closesAt}`;
}

/** What is on the screen: the demo's own lines around the view that `ferry state --watch` has too. */
import type { State } from '../contract.js';
import type { Io } from '../cli/io.js';
import { liveScreen } from '../cli/screen.js';
import { rowsOf } from '../cli/layout.js';
import type { Seen } from '../cli/seen.js';
import { changes, view } from '../cli/view.js';
import { count } from '../receipt/words.js';

export interface Traffic {
  acknowledged: number;
  /** Writes a second. */
  rate: number;
  /** Name of the server that serves the application. */
  on: string;
}

export interface Shown {
  seen: Seen;
  traffic: Traffic;
  /** What happened, or what was answered to a key. The latest last. */
  news: readonly string[];
  processes: string;
}

export interface Display {
  show: (shown: Shown) => void;
  /** A line of its own, outside of what is redrawn. */
  say: (line: string) => void;
  end: () => void;
}

/** `prefix` makes `ferry …` what has to be typed here. */
export function display(options: { io: Io; title: string; ui: string | null; prefix: string }): Display {
  return options.io.tty ? liveDisplay(options) : plainDisplay(options);
}

/** How long news stay on the screen, in milliseconds. */
const NEWS_FOR = 20_000;

// A command at the start of a line or behind a colour, not the word in a sentence.
// eslint-disable-next-line no-control-regex
const COMMAND = /(^|\s|\u001b\[\d+m)ferry (?=[a-z]+ demo\b)/g;

function liveDisplay({ io, title, ui, prefix }: Parameters<typeof display>[0]): Display {
  const screen = liveScreen(io);
  const { colours } = io;
  const label = (name: string) => colours.dim(name.padEnd(13));
  /** When each line of news was first shown. */
  const since: number[] = [];
  return {
    show({ seen, traffic, news, processes }) {
      const { columns, rows } = io.size();
      const head = [
        colours.bold(title),
        ...(ui === null ? [] : [`  ${label('UI')}${ui}`]),
        `  ${label('Application')}${colours.green(count(traffic.acknowledged))} writes acknowledged, ${count(traffic.rate)} a second, on ${traffic.on}`,
        ...(rows < 32 ? [] : [`  ${label('Processes')}${colours.dim(processes)}`]),
        '',
      ];
      while (since.length < news.length) since.push(seen.now);
      const fresh = news.filter((_, at) => seen.now - (since[at] ?? 0) < NEWS_FOR);
      const foot = [
        '',
        ...fresh.slice(-3).map((line) => `  ${colours.cyan('›')} ${line}`),
        `  ${colours.inverse(` ${keysFor(seen.state).join('  ')} `)}`,
      ];
      const taken = [...head, ...foot].reduce((sum, line) => sum + rowsOf(line, columns), 0);
      const body = view(seen, { colours, columns: columns - prefix.length, rows: Math.max(8, rows - taken) });
      screen.draw([...head, ...body.map((line) => line.replace(COMMAND, `$1${prefix}ferry `)), ...foot]);
    },
    say: (line) => io.print(line),
    end: () => screen.end(),
  };
}

function plainDisplay({ io, prefix }: Parameters<typeof display>[0]): Display {
  const spoken = { part: 0, at: 0 };
  let before: Seen | null = null;
  let told = 0;
  return {
    show({ seen, news }) {
      for (const line of news.slice(told)) io.print(`${new Date().toISOString().slice(11, 19)}  › ${line}`);
      told = news.length;
      for (const line of changes(before, seen, spoken)) io.print(line.replace(COMMAND, `$1${prefix}ferry `));
      before = seen;
    },
    say: (line) => io.print(line),
    end: () => undefined,
  };
}

/** The keys that mean something now. */
function keysFor(state: State): string[] {
  switch (state.phase) {
    case 'AwaitingApproval':
      return ['a approve', 'r roll back', 'q quit'];
    case 'Running':
    case 'AwaitingWindow':
      return ['p pause', ...(state.wayBack.possible ? ['r roll back'] : []), 'q quit'];
    case 'Paused':
      return ['p resume', ...(state.wayBack.possible ? ['r roll back'] : []), 'q quit'];
    case 'NeedsDecision':
      return [
        ...Object.keys(state.decision?.choices ?? {}).map((choice, at) => `${at + 1} ${choice}`),
        ...((state.decision?.waivable.length ?? 0) > 0 ? ['w waive'] : []),
        'q quit',
      ];
    default:
      return ['q quit'];
  }
}

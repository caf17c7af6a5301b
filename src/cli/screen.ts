/** Redraws a block of lines in place, and leaves the last one standing. */
import type { Io } from './io.js';
import { rowsOf } from './layout.js';

export interface Screen {
  draw(lines: readonly string[]): void;
  end(): void;
}

export function liveScreen(io: Io): Screen {
  let rows = 0;
  let before = '';
  let wide = 0;
  return {
    draw(lines) {
      const { columns } = io.size();
      const text = lines.join('\n');
      const resized = wide !== 0 && wide !== columns;
      if (text === before && !resized) return;
      wide = columns;
      before = text;
      // One write, held together by the terminal where it can (2026), so that nothing flickers.
      // A terminal that was resized has broken the lines anew: where they begin is no longer known.
      const up = resized ? '\u001b[2J\u001b[H' : rows > 0 ? `\u001b[${rows}A\r` : '';
      io.write(`\u001b[?2026h\u001b[?25l${up}\u001b[0J${text}\n\u001b[?2026l`);
      rows = lines.reduce((sum, line) => sum + rowsOf(line, columns), 0);
    },
    end() {
      io.write('\u001b[?25h');
    },
  };
}

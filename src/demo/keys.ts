/** Single key presses, where there is a terminal. */

export interface Keys {
  end: () => void;
}

const CTRL_C = '\u0003';
const CTRL_D = '\u0004';

/** Tells each key; Ctrl-C and Ctrl-D come as `q`. Null without a terminal. `lost` is called when the terminal goes away. */
export function listenToKeys(options: { pressed: (key: string) => void; lost: () => void }): Keys | null {
  const { stdin, stdout } = process;
  if (!stdin.isTTY || !stdout.isTTY) return null;
  const heard = (text: string) => {
    for (const key of text) options.pressed(key === CTRL_C || key === CTRL_D ? 'q' : key);
  };
  try {
    stdin.setRawMode(true);
  } catch {
    // In the background of its terminal.
    return null;
  }
  stdin.setEncoding('utf8').on('data', heard);
  stdin.on('error', options.lost);
  stdin.resume();
  return {
    end() {
      stdin.off('data', heard);
      stdin.pause();
      try {
        stdin.setRawMode(false);
      } catch {
        // The terminal is gone.
      }
    },
  };
}

/* The network between two servers: a proxy that can be cut, slowed down and mended. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Link {
  /** `host:port` where the far side is reached. */
  at: string;
  /** No byte goes through any more, and nobody is told: as when a cable is pulled. */
  cut(): void;
  /** Both ends are told, and nobody gets through. */
  sever(): void;
  mend(): void;
  /** Every byte arrives so many milliseconds later. */
  delay(ms: number): void;
}

/** To a port of this machine. `atEnd` is given what ends it; `host`: where it listens. */
export async function link(
  port: number,
  atEnd: (end: () => void) => void,
  host = '127.0.0.1',
): Promise<Link> {
  const sockets = new Set<Socket>();
  let down = false;
  let late = 0;
  const pass = (from: Socket, to: Socket): void => {
    from.on('data', (bytes) => {
      if (down) return;
      if (late === 0) to.write(bytes);
      else setTimeout(() => !down && to.writable && to.write(bytes), late);
    });
    // Whoever is gone takes the other end along, but for what the cable holds back.
    from.on('close', () => void (down || to.destroy()));
    from.on('error', () => {});
    sockets.add(from);
  };
  const server = createServer((near) => {
    if (down) return void near.destroy();
    const far = connect(port, '127.0.0.1');
    pass(near, far);
    pass(far, near);
  });
  await new Promise<void>((listening) => server.listen(0, host, listening));
  const reset = (): void => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  atEnd(() => {
    reset();
    server.close();
  });
  return {
    at: `${host}:${(server.address() as AddressInfo).port}`,
    cut() {
      down = true;
    },
    sever() {
      down = true;
      reset();
    },
    mend() {
      // What was sent meanwhile is lost, so these connections can't go on.
      reset();
      down = false;
    },
    delay(ms) {
      late = ms;
    },
  };
}

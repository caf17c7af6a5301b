/** What a plan of Heroku Key-Value Store is and can do. */
export interface Plan {
  /** As `redis:info` shows it. */
  title: string;
  /** US cents a month. */
  cents: number;
  memoryMb: number;
  connections: number;
  forks: boolean;
  /** Upgrades are maintenances with a window; without, they happen at once. */
  maintenances: boolean;
  /** Config vars hold `rediss://`; otherwise the clear port, and a `_TLS_URL` beside it. */
  tlsFirst: boolean;
  /** Only for apps in a Private Space. */
  space: boolean;
}

export const SERVICE = 'heroku-redis';

const premium = { forks: true, maintenances: true, tlsFirst: true, space: false };

export const PLANS: Readonly<Record<string, Plan>> = {
  mini: {
    title: 'Mini',
    cents: 300,
    memoryMb: 25,
    connections: 20,
    forks: false,
    maintenances: false,
    tlsFirst: false,
    space: false,
  },
  'premium-0': { ...premium, title: 'Premium 0', cents: 1_500, memoryMb: 50, connections: 40 },
  'premium-1': { ...premium, title: 'Premium 1', cents: 3_000, memoryMb: 100, connections: 80 },
  'private-7': {
    ...premium,
    title: 'Private 7',
    cents: 100_000,
    memoryMb: 7_000,
    connections: 10_000,
    space: true,
  },
};

export function planOf(name: string): Plan {
  const plan = PLANS[name];
  if (!plan) throw new Error(`no plan ${name} here: ${Object.keys(PLANS).join(', ')}`);
  return plan;
}

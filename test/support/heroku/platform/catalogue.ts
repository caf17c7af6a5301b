/* What can be bought. */
import { notFound, ok, type Routes } from '../http.js';
import { PLANS, SERVICE } from '../plans.js';

export function catalogueRoutes(): Routes {
  return {
    'GET /addon-services/:service/plans': (call) => {
      if (call.param('service') !== SERVICE) throw notFound('add_on');
      return ok(
        Object.entries(PLANS).map(([name, { title, cents }]) => ({
          addon_service: { name: SERVICE },
          human_name: title,
          id: `plan-${name}`,
          name: `${SERVICE}:${name}`,
          price: { cents, contract: false, metered: false, unit: 'month' },
          state: 'ga',
          visible: true,
        })),
      );
    },
  };
}

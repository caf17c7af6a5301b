/* What can be bought. */
import { notFound, ok, type Routes } from '../http.js';
import { PLANS, SERVICE } from '../plans.js';

export function catalogueRoutes(): Routes {
  return {
    'GET /addon-services/:service/plans': (call) => {
      if (call.param('service') !== SERVICE) throw notFound('add_on');
      return ok(
        Object.entries(PLANS).map(([name, { title, cents, space }]) => ({
          addon_service: { name: SERVICE },
          human_name: title,
          id: `plan-${name}`,
          installable_inside_private_network: space,
          installable_outside_private_network: !space,
          name: `${SERVICE}:${name}`,
          price: { cents, contract: false, metered: false, unit: 'month' },
          state: 'ga',
          visible: true,
        })),
      );
    },
  };
}

/** The endpoint that Prometheus asks, which Temporal's runtime serves. */
import { Runtime, type RuntimeOptions } from '@temporalio/worker';
import { FerryError } from '../errors.js';

/** Upper bounds of the histogram's buckets, in milliseconds: a pause takes 5 to 50 of them, its cap is seconds. */
const PAUSES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/**
 * Installs the runtime, with the endpoint where an address is given.
 *
 * @throws FerryError InvalidInput when the address can't be listened on
 */
export function installRuntime({
  address,
  options,
}: {
  address: string | null;
  options: RuntimeOptions;
}): void {
  if (address === null) {
    Runtime.install(options);
    return;
  }
  try {
    Runtime.install({
      ...options,
      telemetryOptions: {
        ...options.telemetryOptions,
        metrics: {
          attachServiceName: false,
          prometheus: {
            bindAddress: address,
            histogramBucketOverrides: { ferry_write_pause_milliseconds: PAUSES },
          },
        },
      },
    });
  } catch (error) {
    throw new FerryError(
      'InvalidInput',
      `Metrics can't be told at ${address}: ${error instanceof Error ? error.message : String(error)}. Each worker of a machine needs a port of its own`,
      { cause: error },
    );
  }
}

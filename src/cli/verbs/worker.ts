import type { Command } from 'commander';
import { globals } from '../cli.js';

export function worker(program: Command): void {
  program
    .command('worker')
    .description('run a worker here, which does the work of upgrades; ends with Ctrl-C')
    .option(
      '--metrics <ip:port>',
      'tell metrics to Prometheus there, such as 127.0.0.1:9464 (default: $FERRY_METRICS, else nowhere)',
    )
    .action(async ({ metrics }: { metrics?: string }, command: Command) => {
      const { address, namespace, profile, taskQueue } = globals(command);
      // The worker reads Temporal's settings where everybody does: from the environment.
      if (address !== undefined) process.env['TEMPORAL_ADDRESS'] = address;
      if (namespace !== undefined) process.env['TEMPORAL_NAMESPACE'] = namespace;
      if (profile !== undefined) process.env['TEMPORAL_PROFILE'] = profile;
      const { runWorker } = await import('../../worker.js');
      await runWorker({ taskQueue, metrics });
    });
}

/** One tool in a process of its own, so that its memory and its CPU time are its own. Started by child.ts. */
import { TOOLS, type Task, type Told } from './tools/index.js';

process.once('disconnect', () => process.exit(1));
process.once('message', (task: Task) => {
  void perform(task).then((told) => process.send?.(told, () => process.exit(0)));
});

async function perform({ tool, input }: Task): Promise<Told> {
  try {
    const { run } = await TOOLS[tool]();
    const cpu = process.cpuUsage();
    const began = performance.now();
    const facts = await (run as (input: unknown) => Promise<object>)(input);
    const ms = performance.now() - began;
    const { user, system } = process.cpuUsage(cpu);
    return {
      ok: true,
      facts,
      ms,
      cpuSeconds: (user + system) / 1e6,
      rssMB: process.resourceUsage().maxRSS / 1024,
    };
  } catch (error) {
    return { ok: false, why: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

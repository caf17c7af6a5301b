/* `npm run cluster -- up|down|status`: the tests' own Kubernetes, kept up while one works on it. */
import { homeOfNode, nodeStands, startNode, stopNode } from './node.js';
import { whyNoCluster } from './programs.js';

const say = (line: string): void => console.error(line);
const verb = process.argv[2] ?? 'status';

try {
  const why = whyNoCluster();
  if (why !== null) throw new Error(`No cluster here: it ${why}.`);
  if (verb === 'up') {
    const { kubeconfig, bin } = await startNode(say);
    console.log(`export KUBECONFIG=${kubeconfig} PATH=${bin}:$PATH FERRY_TEST_CLUSTER=1`);
  } else if (verb === 'down') await stopNode(say);
  else if (verb === 'status')
    console.log(`${(await nodeStands()).join(', ') || 'nothing runs'} (${homeOfNode()})`);
  else throw new Error(`${verb} is unknown: up, down or status.`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

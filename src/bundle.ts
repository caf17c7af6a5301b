/** Bundles the workflows once, when the package is built: a worker with a ready bundle starts in a third of a second. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';
import { FAILURE_CONVERTER } from './codec/converter.js';

const workflows = new URL('./workflows/index.js', import.meta.url);
const byType = new URL('./workflows/by-type.cjs', import.meta.url);
await writeFile(byType, loadedByType(await readFile(workflows, 'utf8')));

// How failures are encoded is part of a bundle: in clear, so that the UI shows them as they are, or for the codec.
for (const { file, converter } of [
  { file: './workflow-bundle.js', converter: {} },
  { file: './workflow-bundle-encrypted.js', converter: { failureConverterPath: FAILURE_CONVERTER } },
]) {
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(byType),
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
await rm(byType);

/**
 * The same exports, each loaded as it is asked for. Every workflow that a worker holds has modules of its own: a lock, of which there are
 * two to an upgrade, has no need of the inputs of all strategies.
 */
function loadedByType(index: string): string {
  const exported = [...index.matchAll(/^export \{ (\w+) \} from '(\.\/[\w-]+\.js)';$/gm)];
  if (exported.length !== index.match(/^export /gm)?.length)
    throw new Error('workflows/index.ts has an export of another form than the bundle knows');
  const getters = exported.map(([, name, file]) => `  get ${name}() { return require('${file}').${name}; },`);
  return ['module.exports = {', ...getters, '};', ''].join('\n');
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

/**
 * What stands beside a function's index.js: clients that are each as large as all the rest of its code, and that most starts
 * do not need. Each part is a file with all of its dependencies, the SDK included, so that nothing of ours depends on what the
 * runtime happens to hold.
 *
 * Run as a command, since the CDK bundles synchronously and esbuild's plugins do not: node bundle-parts.ts FOLDER '#rds' '#glue'
 */
import { writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'esbuild';

const adapter = (path: string) => fileURLToPath(new URL(`../../adapters/${path}`, import.meta.url));
const source = (path: string) => adapter(`${path}${extname(import.meta.url)}`);

/** The name by which code imports a part, in a bundle as in this package (package.json), and its module. */
export const PARTS = {
  '#glue': source('aws/glue-schema-registry'),
  '#msk': source('aws/msk'),
  '#rds': source('aws/rds-signer'),
  '#s3': source('aws/s3-objects'),
  '#sqs': source('aws/sqs-queue'),
};
export type Part = keyof typeof PARTS;

const CREDENTIALS = source('aws/role-credentials');
const KAFKA_UNUSED = adapter('kafka/client-unused.cjs');

/** What stands in a part for packages: less of them, or none. */
const STAND_INS: readonly (readonly [packages: RegExp, path: string])[] = [
  [/^@aws-sdk\/credential-provider(-node|s)$/, CREDENTIALS],
  // MSK's signer asks STS who is signing, when it is debugged.
  [/^(ajv|ajv-draft-04|avsc|@aws-sdk\/client-sts)(\/.+\.js)?$/, KAFKA_UNUSED],
];

const standIns: Plugin = {
  name: 'stand-ins',
  setup({ onResolve }) {
    for (const [filter, path] of STAND_INS) onResolve({ filter }, () => ({ path }));
  },
};

async function writeParts(folder: string, parts: readonly Part[]): Promise<void> {
  const { build } = await import('esbuild');
  await build({
    entryPoints: Object.fromEntries(parts.map((part) => [part.slice(1), PARTS[part]])),
    outdir: folder,
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    // As ES modules, of which what nobody uses is left out: of the SDK that is most.
    mainFields: ['module', 'main'],
    charset: 'utf8',
    legalComments: 'none',
    sourcemap: 'linked',
    sourcesContent: false,
    define: { 'import.meta.url': '__filename' },
    supported: { 'dynamic-import': false },
    // Its own form for bundlers: the other one reads its code from a file.
    alias: { '@platformatic/wasm-utils': '@platformatic/wasm-utils/bundled' },
    plugins: [standIns],
    logLevel: 'error',
  });
  const imports = Object.fromEntries(parts.map((part) => [part, `./${part.slice(1)}.js`]));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ imports }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, ...parts] = process.argv.slice(2);
  await writeParts(folder!, parts as Part[]);
}

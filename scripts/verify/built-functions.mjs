// The functions of an environment as the CDK hands them to a deployment.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { ALIASES, BUNDLING } from '../../lib/constructs/bundled-function.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Bundles the functions of lambdas/ by `cdk synth`.
 * @returns each one's bundle, and what its template says of it; what a deployment would fill in stands as an object
 */
export async function buildFunctions(processes, environment) {
  const output = processes.makeFolder(`cdk-${environment}`);
  const args = ['synth', '--quiet', '--context', `env=${environment}`, '--output', output];
  const cdk = join(root, 'node_modules', '.bin', 'cdk');
  await processes.run(`synth-${environment}`, cdk, args, { cwd: root });
  return readdirSync(output)
    .filter((name) => name.endsWith('.template.json'))
    .map((name) => JSON.parse(readFileSync(join(output, name), 'utf8')))
    .flatMap(({ Resources }) => Object.values(Resources))
    .filter(({ Type, Metadata }) => Type === 'AWS::Lambda::Function' && Metadata?.['aws:asset:is-bundled'])
    .map(({ Properties, Metadata }) => ({
      name: Properties.FunctionName.replace(`millrace-${environment}-`, ''),
      functionName: Properties.FunctionName,
      code: join(output, Metadata['aws:asset:path']),
      handler: Properties.Handler,
      timeoutSeconds: Properties.Timeout,
      memoryMb: Properties.MemorySize,
      environment: Properties.Environment.Variables,
    }));
}

/** A function's code that is not in lambdas/, as one file like theirs; its imports are from the project's folder. */
export function bundle(contents) {
  const { minify, target, externalModules, charset } = BUNDLING;
  const { outputFiles } = buildSync({
    stdin: { contents, resolveDir: root, loader: 'ts' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    minify,
    target,
    charset,
    external: externalModules,
    alias: ALIASES,
    supported: { 'dynamic-import': false },
    legalComments: 'none',
    write: false,
    logLevel: 'silent',
  });
  return outputFiles[0].text;
}

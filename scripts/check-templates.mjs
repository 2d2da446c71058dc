// Synthesizes every environment without an account, and has cfn-lint read each template. Fetches cfn-lint (PyPI) once.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import newsroom from '../millrace.config.ts';
import { pythonCommand } from './verify/downloads.mjs';
import { Processes } from './verify/processes.mjs';

const CFN_LINT = '1.58.0';
const root = fileURLToPath(new URL('..', import.meta.url));

const output = mkdtempSync(join(tmpdir(), 'millrace-templates-'));
process.exitCode = 1;
try {
  const cfnLint = await pythonCommand(new Processes(output), 'cfn-lint', CFN_LINT, 'cfn-lint');
  const templates = Object.keys(newsroom.environments).flatMap(synthesize);
  // 0 is clean; warnings and notes have bits of their own, and count here as errors do.
  const { status } = spawnSync(cfnLint, ['--', ...templates], { stdio: 'inherit' });
  if (status === 0) {
    console.log(`${templates.length} templates, no findings`);
    process.exitCode = 0;
  }
} catch (error) {
  // What a command printed stands above already.
  console.error(`error: ${error.message}`);
} finally {
  rmSync(output, { recursive: true });
}

/** The paths of the environment's templates. */
function synthesize(environment) {
  const folder = join(output, environment);
  const cdk = join(root, 'node_modules', '.bin', 'cdk');
  const args = ['synth', '--quiet', '--context', `env=${environment}`, '--output', folder];
  const { status, stderr } = spawnSync(cdk, args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`cdk ${args.join(' ')} failed:\n${stderr}`);
  return readdirSync(folder)
    .filter((name) => name.endsWith('.template.json'))
    .map((name) => join(folder, name));
}

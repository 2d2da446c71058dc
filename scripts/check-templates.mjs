// Synthesizes every environment without an account, and has cfn-lint read each template. Fetches cfn-lint (PyPI) once.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ENVIRONMENTS } from '../lib/config/environment.ts';

const CFN_LINT = '1.58.0';
const root = fileURLToPath(new URL('..', import.meta.url));
const venv = join(root, 'node_modules', '.cache', `cfn-lint-${CFN_LINT}`);
const cfnLint = join(venv, 'bin', 'cfn-lint');

const output = mkdtempSync(join(tmpdir(), 'millrace-templates-'));
process.exitCode = 1;
try {
  fetchCfnLint();
  const templates = Object.keys(ENVIRONMENTS).flatMap(synthesize);
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

function fetchCfnLint() {
  if (existsSync(cfnLint)) return;
  rmSync(venv, { recursive: true, force: true });
  if (spawnSync('python3', ['-c', 'import venv, ensurepip']).status !== 0) {
    throw new Error(
      'cfn-lint needs Python 3 with venv. Install python3 and python3-venv, then run this again.',
    );
  }
  console.log(`Fetching cfn-lint ${CFN_LINT} …`);
  execFileSync('python3', ['-m', 'venv', venv], { stdio: 'inherit' });
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `cfn-lint==${CFN_LINT}`];
  execFileSync(join(venv, 'bin', 'python'), pip, { stdio: 'inherit' });
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

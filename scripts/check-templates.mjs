// What would meet an account first: cfn-lint reads the templates of every environment, of variants that this app does not have,
// and of create/template, and botocore's models every command of the AWS CLI in the pages. Needs no account. Fetches cfn-lint and moto (PyPI) once.
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { App } from 'aws-cdk-lib';
import { addEnvironmentStacks } from '../lib/environment-stacks.ts';
import { pythonCommand } from '../local/parts/downloads.ts';
import { moto } from '../local/parts/moto.ts';
import { Processes } from '../local/parts/processes.ts';
import newsroom from '../millrace.config.ts';
import { resolveEnvironment } from '../runtime/environment.ts';
import { VARIANTS } from '../test/lib/variants.ts';
import { NEWSDESK } from '../test/newsdesk.ts';

const CFN_LINT = '1.58.0';
const root = fileURLToPath(new URL('..', import.meta.url));

const output = mkdtempSync(join(tmpdir(), 'millrace-templates-'));
process.exitCode = 1;
try {
  const processes = new Processes(output, { note: console.log });
  const cfnLint = await pythonCommand(processes, 'cfn-lint', CFN_LINT, 'cfn-lint');
  const templates = [
    ...Object.keys(newsroom.environments).flatMap(synthesize),
    ...Object.values(VARIANTS).flatMap(synthesizeVariant),
    join(root, 'create/template/ci/github-roles.yaml'),
  ];
  // 0 is clean; warnings and notes have bits of their own, and count here as errors do.
  const lint = spawnSync(cfnLint, ['--', ...templates], { stdio: 'inherit' });
  if (lint.status === 0) console.log(`${templates.length} templates, no findings`);
  // moto brings botocore.
  const python = join(dirname(await moto.download(processes)), 'python');
  const pages = globSync(['docs/**/*.md', 'create/template/*.md'], { cwd: root });
  const script = join(root, 'scripts/aws-commands.py');
  const commands = spawnSync(python, [script, ...pages], { cwd: root, stdio: 'inherit' });
  if (lint.status === 0 && commands.status === 0) process.exitCode = 0;
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
  return templatesIn(folder);
}

/** The same of a variant. The code of its functions is left out. */
function synthesizeVariant({ env, settings, consumer, rebuild, app: declared = newsroom }, index) {
  const folder = join(output, `variant-${index}`);
  const { context } = JSON.parse(readFileSync(join(root, 'cdk.json'), 'utf8'));
  const app = new App({ outdir: folder, context: { ...context, 'aws:cdk:bundling-stacks': [] } });
  const own = newsroom.environments[env];
  const environments = { [env]: { ...own, ...settings(own) } };
  const consumers = declared.consumers.map((each) => ({ ...each, ...consumer }));
  const environment = resolveEnvironment(
    { environments, root: declared === newsroom ? root : NEWSDESK },
    { env },
  );
  addEnvironmentStacks(app, environment, { ...declared, consumers }, rebuild);
  app.synth();
  return templatesIn(folder);
}

function templatesIn(folder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.template.json'))
    .map((name) => join(folder, name));
}

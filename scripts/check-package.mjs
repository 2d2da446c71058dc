/**
 * Packs the package, installs it into an empty project, and uses it there as its user does, on plain Node 22: npm run check:package
 * Needs the npm registry. The project has a contract, a consumer and a CDK app of its own.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const OLDEST_NODE = '22.18.0';
const MAX_BYTES = 3 * 1_000_000;
const root = fileURLToPath(new URL('..', import.meta.url));
const { version, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'millrace-package-'));
const project = join(folder, 'shop');

/** Runs a command, and gives what it printed on stdout. */
function run(command, args, { cwd = project, env = {} } = {}) {
  const startedAt = performance.now();
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  const shown = `${command.split('/').at(-1)} ${args.join(' ')}`.replaceAll(folder, '').slice(0, 90);
  if (status !== 0) throw new Error(`${shown} ended with ${status ?? error?.message}:\n${stdout}${stderr}`);
  console.log(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${shown}`);
  return stdout;
}

function expect(isSo, otherwise) {
  if (!isSo) throw new Error(otherwise);
}

process.exitCode = 1;
try {
  cpSync(join(root, 'test/fixtures/shop'), project, { recursive: true });
  const packed = JSON.parse(
    run('npm', ['pack', '--json', '--silent', '--pack-destination', folder], { cwd: root }),
  )[0];
  expect(
    packed.unpackedSize <= MAX_BYTES,
    `The package has ${packed.unpackedSize} bytes; it takes ${MAX_BYTES}.`,
  );
  const peers = ['aws-cdk-lib', 'constructs', 'esbuild'].map((name) => `${name}@${devDependencies[name]}`);
  run('npm', [
    'install',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    join(folder, packed.filename),
    ...peers,
    '@types/node@22',
    `typescript@${devDependencies.typescript}`,
  ]);
  // Beside the project: it stands for the Node that is installed. The package fetches it by a script.
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ private: true, allowScripts: { node: true } }),
  );
  run(
    'npm',
    ['install', '--prefix', folder, '--no-audit', '--no-fund', '--loglevel=error', `node@${OLDEST_NODE}`],
    {
      cwd: folder,
    },
  );
  const node = join(folder, 'node_modules/node/bin/node');
  const millrace = (...args) => run(node, [join(project, 'node_modules/millrace/bin/launch.mjs'), ...args]);

  expect(millrace('--version').trim() === version, 'It is another version.');
  millrace('contracts', 'generate');
  millrace('contracts', 'check');
  run(node, [join(project, 'node_modules/typescript/bin/tsc')]);
  const report = JSON.parse(
    millrace('up', '--duration', '2', '--poison', '0', '--exit-when-drained', '--json')
      .trim()
      .split('\n')
      .at(-1),
  );
  expect(
    report.published > 0 && report.applied === report.published,
    `It did not apply all: ${JSON.stringify(report)}`,
  );
  const [{ orders }] = JSON.parse(
    millrace('sql', '--json', 'select sum(orders)::int as orders from order_count'),
  );
  expect(orders === report.applied, `The table has ${orders} orders of ${report.applied}.`);
  run(node, ['bin/app.ts'], { env: { CDK_OUTDIR: join(folder, 'out'), CDK_CONTEXT_JSON: '{"env":"dev"}' } });
  console.log(
    `millrace ${version}: ${packed.unpackedSize} bytes in ${packed.entryCount} files, used on Node ${OLDEST_NODE}`,
  );
  process.exitCode = 0;
} catch (error) {
  console.error(`error: ${error.message}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

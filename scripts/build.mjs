// Compiles the package to dist/: JavaScript, declarations and source maps.
import { spawnSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
rmSync(dist, { recursive: true, force: true });
const tsc = join(root, 'node_modules/typescript/bin/tsc');
const { status } = spawnSync(process.execPath, [tsc, '--project', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
// Plain JavaScript, which stands in for packages that a bundle leaves out.
if (status === 0)
  cpSync(join(root, 'adapters/postgres/pg-unused.cjs'), join(dist, 'adapters/postgres/pg-unused.cjs'));
process.exitCode = status ?? 1;

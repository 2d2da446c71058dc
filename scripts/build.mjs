// Compiles both packages: millrace to dist/, with declarations and source maps, and create-millrace to create/dist/.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundlePage } from '../console/bundle-page.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const tsc = join(root, 'node_modules/typescript/bin/tsc');

function compile(project, output) {
  rmSync(join(root, output), { recursive: true, force: true });
  const { status } = spawnSync(process.execPath, [tsc, '--project', project], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}

compile('tsconfig.build.json', 'dist');
// Plain JavaScript, which stands in for packages that a bundle leaves out.
for (const path of ['adapters/kafka/client-unused.cjs', 'adapters/postgres/pg-unused.cjs']) {
  copyFileSync(join(root, path), join(root, 'dist', path));
}

// What browsers load, with all it imports.
mkdirSync(join(root, 'dist/console/ui'), { recursive: true });
for (const { name, text } of await bundlePage(join(root, 'console/ui/console.tsx')))
  writeFileSync(join(root, 'dist/console/ui', name), text);

compile('create/tsconfig.json', 'create/dist');
copyFileSync(join(root, 'LICENSE'), join(root, 'create/LICENSE'));

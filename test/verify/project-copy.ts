import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A copy of the project, with one declaration otherwise, for what the commands make of that. @returns `folder` */
export function copyProject(folder: string, file: string, from: string, to: string): string {
  const parts = ['adapters', 'bin', 'cli', 'console', 'contracts', 'demo', 'lambdas', 'local', 'runtime'];
  for (const each of [...parts, 'millrace.config.ts', 'package.json']) {
    cpSync(join(ROOT, each), join(folder, each), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const declaration = readFileSync(join(folder, file), 'utf8');
  if (!declaration.includes(from)) throw new Error(`${file} has no ${from}`);
  writeFileSync(join(folder, file), declaration.replace(from, to));
  return folder;
}

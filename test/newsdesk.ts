import { cpSync, globSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** The app that the framework's own tests run. */
export const NEWSDESK = join(ROOT, 'test/fixtures/newsdesk');

/** A copy of the newsdesk to change: a project of its own, outside of this repository, on this framework. */
export function copyNewsdesk(folder: string): void {
  copyProject(NEWSDESK, folder);
}

/** A copy of a project in test/fixtures, to change. */
export function copyProject(from: string, folder: string): void {
  cpSync(from, folder, { recursive: true });
  for (const file of globSync('**/*.ts', { cwd: folder })) {
    const path = join(folder, file);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replaceAll(/'(?:\.\.\/)+(runtime|adapters)\//g, `'${ROOT}$1/`));
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
}

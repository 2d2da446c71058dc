/** What of an app the runner's image gets: its code and its dbt project. All else stays on the machine that deploys. */
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, extname, join, relative, resolve, sep } from 'node:path';

const CODE = new Set(['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs', '.avsc']);
/** JSON of other names, such as a service's key, may be secret. */
const JSON_FILES = /^(package|package-lock|tsconfig[\w.-]*)\.json$/;
const FOLDERS_LEFT_OUT = new Set(['node_modules', 'cdk.out', 'coverage']);
/** The dbt project that the runner builds, and in it what dbt reads: tables, logs and compiled models are no part of it. */
const DBT = 'dbt';
const DBT_FILES = new Set([
  'dbt_project.yml',
  'packages.yml',
  'profiles.yml',
  'dependencies.yml',
  'selectors.yml',
]);
const DBT_FOLDERS: Readonly<Record<string, readonly string[]>> = {
  models: ['.sql', '.yml', '.yaml', '.md', '.py'],
  macros: ['.sql', '.yml', '.yaml', '.md'],
  tests: ['.sql', '.yml', '.yaml'],
  snapshots: ['.sql', '.yml', '.yaml'],
  analyses: ['.sql', '.yml', '.yaml'],
  seeds: ['.csv', '.yml', '.yaml'],
};

/**
 * Copies an app's part of the image. A list of what may go in, not of what may not: a key, a login or a warehouse's file
 * that somebody leaves in the folder is in no image, and a run on this machine does not change the asset.
 * @param outdir where the CDK writes, which is usually in the app's folder
 */
export function copyAppForRunner(appRoot: string, into: string, outdir: string): void {
  const copyFrom = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.name.startsWith('.') || resolve(path) === resolve(outdir)) continue;
      if (entry.isDirectory() && !FOLDERS_LEFT_OUT.has(entry.name)) copyFrom(path);
      const inApp = relative(appRoot, path);
      if (!entry.isFile() || !isForRunner(inApp.split(sep))) continue;
      mkdirSync(dirname(join(into, inApp)), { recursive: true });
      copyFileSync(path, join(into, inApp));
    }
  };
  copyFrom(appRoot);
}

function isForRunner(path: readonly string[]): boolean {
  const name = path.at(-1)!;
  if (path[0] !== DBT) return CODE.has(extname(name)) || JSON_FILES.test(name);
  if (path.length === 2) return DBT_FILES.has(name);
  return DBT_FOLDERS[path[1]!]?.includes(extname(name)) ?? false;
}

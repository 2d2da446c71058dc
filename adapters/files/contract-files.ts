/** The contracts folder: `<topic>/v1.avsc, v2.avsc …` as written, `<topic>/schema.ts` as generated. */
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import type { AvroSchema } from '../../runtime/avro/schema.ts';
import { parseSchema } from '../../runtime/avro/schema-parser.ts';
import {
  type CheckedContract,
  type ContractProblem,
  type ContractRule,
  checkContract,
} from '../../runtime/contract/check.ts';
import { type Contract, type ContractVersion, definitionOf } from '../../runtime/contract/contract.ts';
import { generateSchemaModule } from '../../runtime/contract/types.ts';
import { firstRepeated } from '../../runtime/declarations.ts';
import { MillraceError } from '../../runtime/errors.ts';

/** The rules of the folder; docs/contracts.md has them. */
export type ContractFileRule =
  | 'file-unreadable'
  | 'file-misnamed'
  | 'version-missing'
  | 'version-edited'
  | 'schema-stale'
  | 'contract-unlisted'
  | 'contract-repeated'
  | 'folder-missing';

export type ContractFolderProblem = ContractProblem<ContractRule | ContractFileRule>;

/** Where an app has its contracts. */
export function contractsDirOf(root: string): string {
  return join(root, 'contracts');
}

/** A topic's folder. */
export interface ContractFolder {
  readonly topic: string;
  readonly path: string;
  /** From the .avsc files, oldest first; those that could not be read are in `problems` instead. */
  readonly versions: readonly ContractVersion[];
  readonly problems: readonly ContractFolderProblem[];
}

/**
 * Reads every folder under `contractsDir`, by name. Needs neither topic.ts nor schema.ts.
 * @throws INPUT_INVALID when there is no such folder
 */
export async function scanContracts(contractsDir: string): Promise<readonly ContractFolder[]> {
  const entries = await readdir(contractsDir, { withFileTypes: true }).catch((cause) => {
    throw new MillraceError(
      'INPUT_INVALID',
      `There is no contracts folder at ${contractsDir}. Run this where the project's package.json is.`,
      { cause },
    );
  });
  const topics = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return Promise.all(topics.sort().map((topic) => scanFolder(topic, join(contractsDir, topic))));
}

/**
 * Everything wrong with the contracts: the folders' files, whether schema.ts is up to date, whether every folder's
 * contract is in `contracts`, and what `checkContract` finds in the .avsc files.
 */
export async function checkContracts(
  contractsDir: string,
  contracts: readonly CheckedContract[],
): Promise<readonly ContractFolderProblem[]> {
  const folders = await scanContracts(contractsDir);
  const perFolder = await Promise.all(
    folders.map(async (folder) => {
      if (folder.problems.length > 0) return folder.problems;
      const contract = contracts.find(({ name }) => name === folder.topic);
      const schemas = contract
        ? checkContract({ ...contract, versions: folder.versions })
        : [unlisted(folder)];
      return [...schemas, ...(await findStale(folder))];
    }),
  );
  const withoutFolder = contracts.filter(({ name }) => !folders.some(({ topic }) => topic === name));
  const repeated = firstRepeated(contracts.map(({ name }) => name));
  return [
    ...perFolder.flat(),
    ...withoutFolder.map(({ name }) => folderMissing(name)),
    ...(repeated === undefined ? [] : [listedTwice(repeated)]),
  ];
}

/**
 * Makes sure that the app's contracts hold before anything is run with them.
 * @throws the first problem that `checkContracts` finds, saying how many more there are
 */
export async function requireSoundContracts({
  root,
  contracts,
}: {
  readonly root: string;
  readonly contracts: readonly CheckedContract[];
}): Promise<void> {
  const [first, ...others] = await checkContracts(contractsDirOf(root), contracts);
  if (!first) return;
  const { topic, versions, path, code, message } = first;
  const where = [topic, versions.map((version) => `v${version}`).join(' → '), path].filter(Boolean).join(' ');
  const more =
    others.length > 0
      ? ` There ${others.length === 1 ? 'is 1 more problem' : `are ${others.length} more problems`}.`
      : '';
  throw new MillraceError(
    code,
    `${where}: ${message}${more} Run "npx millrace contracts check" to see everything that is wrong.`,
    { details: { topic } },
  );
}

/** @throws TOPIC_UNKNOWN */
export function findContract(contracts: readonly Contract<never>[], topic: string): Contract<never> {
  const contract = contracts.find(({ name }) => name === topic);
  if (contract) return contract;
  throw new MillraceError(
    'TOPIC_UNKNOWN',
    `No contract has the topic ${JSON.stringify(topic)}; there is ${contracts.map(({ name }) => name).join(', ')}. Without a contract there is no topic: add one in contracts/.`,
    { details: { topic } },
  );
}

/** What keeps a folder's schema.ts from being what its .avsc files say; empty when it is up to date. */
export async function findStale(folder: ContractFolder): Promise<readonly ContractFolderProblem[]> {
  const path = join(folder.path, 'schema.ts');
  const current = await readIfExists(path);
  const edited = current === null ? [] : findEdited(folder, await embeddedVersions(path, current));
  if (edited.length > 0 || !isNewestParsable(folder)) return edited;
  if (current === generateSchemaModule(folder.topic, folder.versions)) return [];
  const what = current === null ? 'schema.ts does not exist' : 'schema.ts is not what the .avsc files make';
  return [
    problem(
      folder.topic,
      'schema-stale',
      [],
      `${what}. Run \`millrace contracts generate\` and commit the result.`,
    ),
  ];
}

export interface Generated {
  readonly topic: string;
  readonly path: string;
  /** Null where nothing was written because of `problems`. */
  readonly outcome: 'written' | 'unchanged' | null;
  readonly problems: readonly ContractFolderProblem[];
}

/**
 * Writes each folder's schema.ts. A folder with a problem is left as it is: a file that cannot be read, a schema
 * that does not parse, or an edit to a version that a later one has followed.
 */
export async function generateContracts(contractsDir: string): Promise<readonly Generated[]> {
  const folders = await scanContracts(contractsDir);
  return Promise.all(folders.map(generateFolder));
}

async function generateFolder(folder: ContractFolder): Promise<Generated> {
  const { topic, versions } = folder;
  const path = join(folder.path, 'schema.ts');
  const current = await readIfExists(path);
  const problems = [
    ...folder.problems,
    ...versions.flatMap(({ version, schema }) =>
      parseSchema(schema).problems.map(({ rule, path, message }) =>
        problem(topic, rule, [version], message, path),
      ),
    ),
    ...(current === null ? [] : findEdited(folder, await embeddedVersions(path, current))),
  ];
  if (problems.length > 0) return { topic, path, outcome: null, problems };
  const text = generateSchemaModule(topic, versions);
  if (text === current) return { topic, path, outcome: 'unchanged', problems };
  await writeFile(path, text);
  return { topic, path, outcome: 'written', problems };
}

async function scanFolder(topic: string, path: string): Promise<ContractFolder> {
  const files = (await readdir(path)).filter((name) => name.endsWith('.avsc'));
  const problems: ContractFolderProblem[] = [];
  const versions: ContractVersion[] = [];
  const numbers = files.flatMap((name) => {
    const digits = /^v([1-9]\d*)\.avsc$/.exec(name)?.[1];
    if (digits) return [Number(digits)];
    problems.push(
      problem(topic, 'file-misnamed', [], `${name} is no version. Name it v1.avsc, v2.avsc and so on.`),
    );
    return [];
  });
  for (let version = 1; version <= Math.max(1, ...numbers); version++) {
    if (!numbers.includes(version)) {
      problems.push(
        problem(
          topic,
          'version-missing',
          [version],
          `v${version}.avsc is missing: versions are numbered 1, 2, 3 … without a gap, and none is ever removed.`,
        ),
      );
      continue;
    }
    // Some editors begin a file with a byte order mark, which is no JSON.
    const definition = (await readFile(join(path, `v${version}.avsc`), 'utf8')).replace(/^\u{feff}/u, '');
    const schema = parseJson(definition);
    if ('fault' in schema) {
      problems.push(
        problem(
          topic,
          'file-unreadable',
          [version],
          `v${version}.avsc is not JSON${schema.fault}. Correct it there.`,
        ),
      );
    } else versions.push({ version, schema: schema.value, definition });
  }
  return { topic, path, versions, problems };
}

/** A version that a later one has followed is out in the world: records written with it exist. */
function findEdited(
  { topic, versions }: ContractFolder,
  embedded: readonly ContractVersion[],
): ContractFolderProblem[] {
  const newest = versions.at(-1)?.version ?? 0;
  return embedded.flatMap((known) => {
    const { version } = known;
    if (version >= newest) return [];
    const file = versions.find((candidate) => candidate.version === version);
    if (!file || isSameSchema(file, known)) return [];
    return problem(
      topic,
      'version-edited',
      [version],
      `v${version}.avsc was changed after v${version + 1}.avsc was added. Records written with it are in the topic: restore it, and put the change into v${newest + 1}.avsc.`,
    );
  });
}

/** Whatever its layout. In a schema.ts that has no texts yet, a number's spelling is not known. */
function isSameSchema(file: ContractVersion, known: ContractVersion): boolean {
  if (known.definition === undefined) return isDeepStrictEqual(file.schema, known.schema);
  return isDeepStrictEqual(spelledOut(definitionOf(file)), spelledOut(known.definition));
}

/** A schema with its numbers as they are spelled: 0.0 and 0 are two defaults to other readers. */
function spelledOut(definition: string): unknown {
  return JSON.parse(definition, (_key, value: unknown, { source }: { readonly source?: string } = {}) =>
    typeof value === 'number' ? { number: source } : value,
  );
}

/** The versions in a generated schema.ts; none where it cannot be loaded, which makes it stale and no more. */
async function embeddedVersions(path: string, text: string): Promise<readonly ContractVersion[]> {
  // So that a file loaded before is loaded again once it has changed.
  const digest = createHash('sha256').update(text).digest('hex');
  try {
    const { versions } = await import(`${pathToFileURL(path)}?${digest}`);
    return Array.isArray(versions) ? versions : [];
  } catch {
    return [];
  }
}

function isNewestParsable({ versions }: ContractFolder): boolean {
  const newest = versions.at(-1);
  return newest !== undefined && parseSchema(newest.schema).node !== null;
}

function unlisted({ topic }: ContractFolder): ContractFolderProblem {
  return problem(
    topic,
    'contract-unlisted',
    [],
    `contracts/${topic} has schemas, but no contract called ${topic} is among the app's contracts. Declare it in contracts/${topic}/topic.ts with defineTopic() and list it in millrace.config.ts.`,
  );
}

function listedTwice(topic: string): ContractFolderProblem {
  return problem(
    topic,
    'contract-repeated',
    [],
    `The app lists two contracts of the topic ${topic}. List it once in millrace.config.ts.`,
  );
}

function folderMissing(topic: string): ContractFolderProblem {
  return problem(
    topic,
    'folder-missing',
    [],
    `The app lists ${topic}, but there is no folder contracts/${topic} with its .avsc files. A folder has its topic's name.`,
  );
}

function problem(
  topic: string,
  rule: ContractRule | ContractFileRule,
  versions: readonly number[],
  message: string,
  path = '',
): ContractFolderProblem {
  return {
    topic,
    code: rule === 'schema-stale' ? 'CONTRACT_STALE' : 'CONTRACT_INVALID',
    rule,
    versions,
    path,
    message,
  };
}

async function readIfExists(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** The value, or where the text stops being JSON: V8's own message may quote the text. */
function parseJson(text: string): { readonly value: AvroSchema } | { readonly fault: string } {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const where = /line \d+ column \d+/.exec((error as Error).message)?.[0];
    return { fault: where ? ` at ${where}` : '' };
  }
}

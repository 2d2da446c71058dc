import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Option } from 'commander';
import { folderObjects } from '../../adapters/files/folder-objects.ts';
import { existingStateFolder } from '../../local/state-folder.ts';
import type { WarehouseTarget } from '../../local/warehouse/python.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { ObjectStore } from '../../runtime/objects.ts';
import { stateOption } from '../options.ts';
import { archiveEndpointOption, bucketOf } from '../outside-options.ts';

/** Where `generate` writes and the others read, below the app's folder. */
const PROJECT_FOLDER = 'dbt';

export function projectOption(flags: string, description: string): Option {
  return new Option(flags, description).default(undefined, 'dbt/, in the folder of the app');
}

export function projectFolder(root: string, given: string | undefined): string {
  return given === undefined ? join(root, PROJECT_FOLDER) : resolve(given);
}

/** @throws WAREHOUSE_FAILED where nothing has been generated */
export function requireProject(folder: string): string {
  if (existsSync(join(folder, 'dbt_project.yml'))) return folder;
  throw new MillraceError(
    'WAREHOUSE_FAILED',
    `${folder} has no dbt project. Run millrace warehouse generate first, or name its folder with --project.`,
  );
}

export function targetOption(): Option {
  const targets: readonly WarehouseTarget[] = ['duckdb', 'postgres', 'snowflake'];
  return new Option('--target <name>', 'the warehouse').choices(targets).default('duckdb');
}

export function dbtOption(): Option {
  return new Option('--dbt <path>', 'a dbt of your own, such as .venv/bin/dbt').default(
    undefined,
    'one that is installed here, once',
  );
}

export const archiveOptions = (): readonly Option[] => [
  new Option('--archive <from>', 's3://BUCKET, or a folder with a copy of the bucket').default(
    undefined,
    'the archive in the state folder',
  ),
  archiveEndpointOption(),
  stateOption(),
];

/** What `millrace up` has archived in the state folder. */
async function openLocalArchive(
  state: string,
): Promise<{ readonly objects: LoadedObjects; close(): Promise<void> }> {
  const { openStores } = await import('../../local/stores.ts');
  const stores = await openStores(existingStateFolder(state));
  return { objects: stores.archive, close: () => stores.close() };
}

/** As much of an archive as a load needs. */
type LoadedObjects = Pick<ObjectStore, 'list' | 'folders' | 'get'>;

/**
 * The archive that the options name.
 * @throws INPUT_INVALID, STATE_UNREADABLE where it is not there
 */
export async function openArchive({
  archive: from,
  archiveEndpoint: endpoint,
  state,
}: ArchiveChoice): Promise<{ readonly objects: LoadedObjects; close(): Promise<void> }> {
  const bucket = from === undefined ? undefined : bucketOf(from);
  if (endpoint !== undefined && bucket === undefined) {
    throw new MillraceError(
      'INPUT_INVALID',
      '--archive-endpoint needs --archive s3://BUCKET, which names the bucket. Give both.',
    );
  }
  if (from === undefined) return openLocalArchive(state);
  const nothingToClose = async () => {};
  if (bucket === undefined) {
    if (statSync(from, { throwIfNoEntry: false })?.isDirectory())
      return { objects: folderObjects(resolve(from)), close: nothingToClose };
    throw new MillraceError(
      'INPUT_INVALID',
      `--archive is ${JSON.stringify(from)}; it takes s3://BUCKET, or a folder that exists. Correct it.`,
    );
  }
  const { openBucket } = await import('../../local/stores.ts');
  const objects = await openBucket({ bucket, ...(endpoint !== undefined && { endpoint }) });
  return { objects, close: nothingToClose };
}

export interface ArchiveChoice {
  readonly archive?: string;
  readonly archiveEndpoint?: string;
  readonly state: string;
}

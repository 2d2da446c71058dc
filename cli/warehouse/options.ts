import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Option } from 'commander';
import { folderObjects } from '../../adapters/files/folder-objects.ts';
import type { WarehouseTarget } from '../../local/warehouse/python.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { ObjectStore } from '../../runtime/objects.ts';

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
  new Option('--archive <from>', 's3://BUCKET, or a folder with a copy of the bucket'),
  new Option('--endpoint <url>', 'of an S3 that is not AWS'),
];

/** @param from `s3://BUCKET`, or a folder */
export async function openArchive(
  from: string,
  endpoint: string | undefined,
): Promise<Pick<ObjectStore, 'list' | 'folders' | 'get'>> {
  const bucket = /^s3:\/\/([^/]+)\/?$/.exec(from)?.[1];
  if (bucket === undefined) {
    if (existsSync(from)) return folderObjects(resolve(from));
    throw new MillraceError(
      'INPUT_INVALID',
      `--archive is ${JSON.stringify(from)}; it takes s3://BUCKET, or a folder that exists. Correct it.`,
    );
  }
  const { openS3Objects } = await import('../../adapters/aws/s3-objects.ts');
  return openS3Objects(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }, bucket);
}

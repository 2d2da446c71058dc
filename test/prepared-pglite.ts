/** An empty PostgreSQL in a fraction of the time: PGlite runs initdb for seconds each time, and it always comes to the same. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openAsBlob,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PGlite } from '@electric-sql/pglite';
import { openStateFolder } from '../local/state-folder.ts';

const MODULES = fileURLToPath(new URL('../node_modules', import.meta.url));
const { version } = JSON.parse(readFileSync(join(MODULES, '@electric-sql/pglite/package.json'), 'utf8')) as {
  version: string;
};
const CACHE = join(MODULES, '.cache/millrace');
/** What initdb made: `data`, as it lies on a disk, and `data.tar`. Made once for a version of PGlite. */
const PREPARED = join(CACHE, `pglite-${version}`);
if (!existsSync(PREPARED)) await prepare();

async function prepare(): Promise<void> {
  mkdirSync(CACHE, { recursive: true });
  const making = mkdtempSync(join(CACHE, 'making-'));
  const pglite = await PGlite.create(join(making, 'data'));
  const image = await pglite.dumpDataDir('none');
  await pglite.close();
  writeFileSync(join(making, 'data.tar'), Buffer.from(await image.arrayBuffer()));
  try {
    renameSync(making, PREPARED);
  } catch (error) {
    // Another worker was faster.
    if (!existsSync(PREPARED)) throw error;
    rmSync(making, { recursive: true });
  }
}

const image = await openAsBlob(join(PREPARED, 'data.tar'), { type: 'application/x-tar' });

/** A PGlite in memory, empty. */
export function createPglite(): PGlite {
  return new PGlite({ loadDataDir: image });
}

/** Puts an empty sink into a state folder, made where there is none: whoever opens it need not make one. */
export function placeSink(path: string): void {
  const { files } = openStateFolder(path);
  cpSync(join(PREPARED, 'data'), files.sink, { recursive: true });
  writeFileSync(files.sinkReady, '', { mode: 0o600 });
}

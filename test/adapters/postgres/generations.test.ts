import { pgliteDriver } from '../../../adapters/postgres/pglite-driver.ts';
import { createPglite } from '../../prepared-pglite.ts';
import { postgresGenerationsSuite } from './generations-suite.ts';

postgresGenerationsSuite('PGlite', async () => {
  const pglite = createPglite();
  return { admin: pgliteDriver(pglite), close: () => pglite.close() };
});

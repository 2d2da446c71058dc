import type { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll } from '@jest/globals';
import { pgliteDriver } from '../../../adapters/postgres/pglite-driver.ts';
import { identifier } from '../../../adapters/postgres/sql-values.ts';
import { createPglite } from '../../prepared-pglite.ts';
import { movingByTrialSuite, movingSuite } from './moving-suite.ts';

let pglite: PGlite;
beforeAll(() => {
  pglite = createPglite();
});
afterAll(() => pglite.close());

movingSuite('PGlite with one owner', async () => ({ admin: pgliteDriver(pglite) }));
movingByTrialSuite(async () => pgliteDriver(pglite));

movingSuite('PGlite with roles', async () => {
  const admin = pgliteDriver(pglite);
  const as = async (role: string) => ({
    async begin() {
      const connection = await admin.begin();
      await connection.run(`SET LOCAL ROLE ${identifier(role)}; SET LOCAL search_path = "$user", public`);
      return connection;
    },
  });
  return { admin, as };
});

import type { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, describe } from '@jest/globals';
import { pgliteDriver } from '../../../adapters/postgres/pglite-driver.ts';
import type { SqlDriver } from '../../../adapters/postgres/sql-driver.ts';
import { identifier } from '../../../adapters/postgres/sql-values.ts';
import { createPglite } from '../../prepared-pglite.ts';
import { provisionSuite } from './provision-suite.ts';

describe('on PGlite', () => {
  let pglite: PGlite;
  beforeAll(async () => {
    pglite = createPglite();
  }, 120_000);
  afterAll(() => pglite.close());

  provisionSuite(() => ({
    admin: pgliteDriver(pglite),
    // PGlite has one session, a superuser's: it takes on the role for the transaction.
    async as(role): Promise<SqlDriver> {
      const driver = pgliteDriver(pglite);
      return {
        async begin() {
          const connection = await driver.begin();
          // PGlite leaves the role's own schema out of its search path, which is PostgreSQL's default.
          await connection.run(`SET LOCAL ROLE ${identifier(role)}; SET LOCAL search_path = "$user", public`);
          return connection;
        },
      };
    },
  }));
});

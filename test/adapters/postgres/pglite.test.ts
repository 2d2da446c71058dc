import { PGlite } from '@electric-sql/pglite';
import { pgliteDriver } from '../../../adapters/postgres/pglite-driver.ts';
import { postgresSuite } from './postgres-suite.ts';

postgresSuite(
  'PGlite',
  async () => {
    const pglite = new PGlite();
    return { driver: pgliteDriver(pglite), close: () => pglite.close() };
  },
  { transactions: 'one' },
);

import { MessageChannel } from 'node:worker_threads';
import { pgliteDriver } from '../../../adapters/postgres/pglite-driver.ts';
import { createThreadDriver, serveDriver } from '../../../adapters/postgres/thread-driver.ts';
import { createPglite } from '../../prepared-pglite.ts';
import { postgresSuite } from './postgres-suite.ts';

postgresSuite(
  'PGlite',
  async () => {
    const pglite = createPglite();
    return { driver: pgliteDriver(pglite), close: () => pglite.close() };
  },
  { transactions: 'one' },
);

postgresSuite(
  'PGlite by a port',
  async () => {
    const pglite = createPglite();
    const { port1, port2 } = new MessageChannel();
    serveDriver(port1, pgliteDriver(pglite));
    const driver = createThreadDriver(() => {});
    driver.use(port2);
    return {
      driver,
      async close() {
        port2.close();
        await pglite.close();
      },
    };
  },
  { transactions: 'one' },
);

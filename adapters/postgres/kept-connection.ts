import type { Client, PoolClient } from 'pg';
import type { PgConnections } from './pg-driver.ts';

/**
 * One connection, opened when it is first needed, kept between uses and replaced once it has broken: all that a
 * Lambda function needs, which runs one batch at a time. A pool's timers would fire late after each freeze.
 * A second `connect()` while the first is in use opens another, which is closed when it is released.
 */
export function keptConnection(create: () => Client): PgConnections {
  let idle: Client | undefined;

  async function open(): Promise<Client> {
    const client = create();
    const forget = () => {
      if (idle === client) idle = undefined;
    };
    // Without a listener, a connection that breaks would end the process.
    client.on('error', forget).on('end', forget);
    try {
      await client.connect();
      return client;
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
  }

  return {
    async connect() {
      const kept = idle;
      idle = undefined;
      const client = kept ?? (await open());
      let isBroken = false;
      const onEnd = () => {
        isBroken = true;
      };
      client.once('error', onEnd).once('end', onEnd);
      return Object.assign(client, {
        release(destroy = false) {
          client.off('error', onEnd).off('end', onEnd);
          if (destroy === false && !isBroken && !idle) idle = client;
          else void client.end().catch(() => {});
        },
      }) as PoolClient;
    },
  };
}

import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { GlueClient } from '@aws-sdk/client-glue';
import { expect, test } from '@jest/globals';
import { createGlueSchemaRegistry } from '../../../adapters/aws/glue-schema-registry.ts';
import { requestTimeouts } from '../../../adapters/aws/request-timeouts.ts';
import { pageviews } from '../../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import { codeOf } from '../../rejection.ts';

test('a service that takes the connection and then says nothing is given up, as often as it is tried', async () => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => sockets.push(socket.on('error', () => {}))).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const client = new GlueClient({
    endpoint: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'nobody', secretAccessKey: 'nothing' },
    maxAttempts: 2,
    ...requestTimeouts(50),
  });
  const registry = createGlueSchemaRegistry({ client, registryName: 'r' });
  expect(await codeOf(registry.latestId(pageviews))).toBe('REGISTRY_UNAVAILABLE');
  expect(sockets).toHaveLength(2);
  client.destroy();
  for (const socket of sockets) socket.destroy();
  silent.close();
});

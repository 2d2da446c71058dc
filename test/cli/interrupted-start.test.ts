import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { start } from './millrace.ts';

test('one Ctrl-C ends up while it waits for a Kafka that says nothing', async () => {
  const temporary = createTemporaryFolder();
  const kafka = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await once(kafka, 'listening');
  const address = `127.0.0.1:${(kafka.address() as AddressInfo).port}`;
  const state = join(temporary.path, 'state');
  placeSink(state);
  const up = start(['up', '--kafka', address, '--state', state]);
  const ended = once(up, 'exit');
  await once(kafka, 'connection');
  up.kill('SIGINT');
  expect(await ended).toEqual([130, null]);
  kafka.close();
  temporary.remove();
}, 120_000);

import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type KafkaLog, openKafkaLog } from '../../../adapters/kafka/kafka-log.ts';
import { systemClock } from '../../../adapters/system/system-clock.ts';

/** As a broker that hangs, or whatever else listens there. */
const sockets: Socket[] = [];
const silent = createServer((socket) => {
  sockets.push(socket.on('error', () => {}));
});
let log: KafkaLog;
beforeAll(async () => {
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  const { port } = silent.address() as AddressInfo;
  log = openKafkaLog({
    connection: { brokers: [`127.0.0.1:${port}`] },
    clock: systemClock,
    timeoutMs: 200,
  });
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  silent.close();
  await log.close();
});

const position = { topic: 't', partition: 0, offset: 0 };
test.each<[string, () => Promise<unknown>]>([
  ['send', () => log.send('t', [{ key: null, value: null }])],
  ['read', () => log.read(position, 0, 1)],
  ['bounds', () => log.bounds(position)],
  ['committed', () => log.committed('g', position)],
  ['commit', () => log.commit('g', [position])],
  ['createTopic', () => log.createTopic('t', 1)],
  ['requireFreeGroup', () => log.requireFreeGroup('g')],
  ['clusterId', () => log.clusterId()],
])('a broker that takes connections and says nothing is unavailable: %s', async (_, call) => {
  await expect(call()).rejects.toMatchObject({
    code: 'KAFKA_UNAVAILABLE',
    message: expect.stringContaining('no answer within 0.2 s'),
  });
});

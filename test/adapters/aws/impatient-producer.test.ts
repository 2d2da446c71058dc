import { expect, test } from '@jest/globals';
import { createImpatientProducer } from '../../../adapters/aws/impatient-producer.ts';
import { createFakeClock } from '../../../adapters/memory/fake-clock.ts';
import { createMemoryLog } from '../../../adapters/memory/memory-log.ts';
import type { Position } from '../../../runtime/record.ts';
import { codeOf } from '../../rejection.ts';

const RECORDS = [{ key: null, value: Buffer.from('x') }];
const POSITION: Position = { topic: 't', partition: 0, offset: 0 };

test('is as patient as the client, up to the deadline', async () => {
  const clock = createFakeClock();
  const { promise, resolve } = Promise.withResolvers<readonly Position[]>();
  let opened = 0;
  const open = async () => {
    opened++;
    return { send: () => promise };
  };
  const producer = createImpatientProducer(open, { deadlineMs: 100, clock });
  const sending = producer.send('t', RECORDS);
  await clock.advance(99);
  resolve([POSITION]);
  expect(await sending).toEqual([POSITION]);
  await clock.advance(1_000);
  expect(opened).toBe(1);
});

test('after it, gives up on the client, and sends what comes next with another', async () => {
  const clock = createFakeClock();
  const log = createMemoryLog({ clock });
  await log.createTopic('t', 1);
  const stuck = { send: () => new Promise<never>(() => {}) };
  const clients = [stuck, log];
  const producer = createImpatientProducer(async () => clients.shift()!, { deadlineMs: 100, clock });
  const given = [codeOf(producer.send('t', RECORDS)), codeOf(producer.send('t', RECORDS))];
  await clock.advance(100);
  expect(await Promise.all(given)).toEqual(['PUBLISH_FAILED', 'PUBLISH_FAILED']);
  // One for both of them.
  expect(clients).toEqual([]);
  expect(await producer.send('t', RECORDS)).toEqual([POSITION]);
});

test('rejects as the client does, and as opening does', async () => {
  const clock = createFakeClock();
  const log = createMemoryLog({ clock });
  const producer = createImpatientProducer(async () => log, { deadlineMs: 100, clock });
  expect(await codeOf(producer.send('nowhere', RECORDS))).toBe('TOPIC_UNKNOWN');
  const broken = createImpatientProducer(() => Promise.reject(new TypeError('no such file')), {
    deadlineMs: 100,
    clock,
  });
  await expect(broken.send('t', RECORDS)).rejects.toThrow(TypeError);
});

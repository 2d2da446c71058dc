/** How a Kafka lets one in: TLS, SCRAM, and IAM as MSK has it. `npm run verify` starts one in MILLRACE_TEST_GUARDED_KAFKA. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { serialize } from 'node:v8';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import type { KafkaSecurity } from '../../adapters/kafka/connection.ts';
import { type KafkaLog, openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { createTopicReader } from '../../runtime/dead-letters/topic-letters.ts';
import { deadLetter } from '../dead-letters.ts';
import { bundlesOf, DEAD_LETTERS_IN_KAFKA } from '../lib/synthesized.ts';
import { part } from './part.ts';

jest.setTimeout(300_000);
const given = part('MILLRACE_TEST_GUARDED_KAFKA');
const { tls, sasl, ca: caFile, username, password, sessionMs } = JSON.parse(given);
const ca = readFileSync(caFile, 'utf8');

const topic = `verify-${randomBytes(6).toString('hex')}`;
const record = { key: null, value: Buffer.from('x'), headers: [] };
let log: KafkaLog;
afterEach(() => log.close());

function logIn(address: string, security: KafkaSecurity) {
  const connection = { brokers: [address], security };
  log = openKafkaLog({ connection, clock: systemClock, timeoutMs: 10_000 });
}

describe.each<[string, string, KafkaSecurity]>([
  ['TLS', tls, { kind: 'tls', ca }],
  ['SCRAM', sasl, { kind: 'scram', username, password, ca }],
  ['IAM', sasl, { kind: 'iam', region: 'eu-west-1', ca }],
])('%s', (_, address, security) => {
  test('lets one in, to write and to read', async () => {
    logIn(address, security);
    await log.createTopic(topic, 1);
    const [position] = await log.send(topic, [record]);
    const [read] = await log.read({ topic, partition: 0 }, position!.offset, 1);
    expect(read).toMatchObject({ offset: position!.offset, value: record.value });
  });
});

describe('a session of IAM ends', () => {
  test.each([
    ['while one sends: nothing is lost, and nothing sent twice', 50],
    ['while one does nothing, as a function that is frozen', sessionMs * 1.5],
  ])('%s', async (_, pauseMs) => {
    logIn(sasl, { kind: 'iam', region: 'eu-west-1', ca });
    await log.createTopic(topic, 1);
    const { end } = await log.bounds({ topic, partition: 0 });
    const began = systemClock.now();
    let sent = 0;
    while (systemClock.now() < began + 2.5 * sessionMs) {
      const [position] = await log.send(topic, [record]);
      expect(position!.offset).toBe(end + sent);
      sent += 1;
      await sleep(pauseMs);
    }
  });
});

test.each<[string, string, KafkaSecurity]>([
  ['a server whose certificate nobody vouches for', tls, { kind: 'tls' }],
  ['a wrong password', sasl, { kind: 'scram', username, password: 'not it, but secret', ca }],
  ['a user that there is not', sasl, { kind: 'scram', username: 'nobody', password, ca }],
  ['a token for another region', sasl, { kind: 'iam', region: 'us-east-1', ca }],
])('refused: %s', async (_, address, security) => {
  logIn(address, security);
  const refused = log.send(topic, [record]);
  await expect(refused).rejects.toMatchObject({
    code: 'KAFKA_REFUSED',
    message: expect.not.stringMatching(/secret|X-Amz/),
  });
});

test('nothing is said to who does not log in where one has to: then that is among what to check', async () => {
  logIn(sasl, { kind: 'tls', ca });
  await expect(log.send(topic, [record])).rejects.toMatchObject({
    code: 'KAFKA_UNAVAILABLE',
    message: expect.stringContaining('the login method'),
  });
});

test("a function's second file writes dead letters, logged in with the credentials of its role", async () => {
  const [bundle] = bundlesOf(DEAD_LETTERS_IN_KAFKA).filter((path) => existsSync(join(path, 'msk.js')));
  logIn(sasl, { kind: 'iam', region: 'eu-west-1', ca });
  const letters = `${topic}.dead-letters`;
  await log.createTopic(letters, 1);
  const letter = deadLetter({ offset: 7 });
  const script = `
    const { deserialize } = require('node:v8');
    const letter = deserialize(Buffer.from(process.argv[1], 'base64'));
    const options = { topic: '${letters}', brokers: '${sasl}', region: 'eu-west-1', clientId: 'verify' };
    require('#msk').openMskLetters(options).put([letter]).then(() => process.exit());`;
  const { NODE_OPTIONS: _, ...env } = process.env;
  const { stderr } = spawnSync(process.execPath, ['--eval', script, serialize(letter).toString('base64')], {
    cwd: bundle,
    env: { ...env, NODE_EXTRA_CA_CERTS: caFile },
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  const of = { consumer: letter.consumer, epoch: 1, topic: letter.record.topic };
  const reader = createTopicReader({ topic: letters, of, producer: log, reader: log });
  expect(await Array.fromAsync(reader.scan())).toMatchObject([{ letter }]);
});

/** The Kafka log on a real broker: `npm run verify` starts one and names it in MILLRACE_TEST_KAFKA. */
import { randomBytes } from 'node:crypto';
import { jest } from '@jest/globals';
import { openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import type { Clock } from '../../runtime/ports.ts';
import { withOwnNames } from '../adapters/kafka/own-names.ts';
import { logSuite } from '../ports/log-suite.ts';

jest.setTimeout(60_000);
const address = process.env.MILLRACE_TEST_KAFKA;
if (!address) throw new Error('MILLRACE_TEST_KAFKA is not set; run npm run verify');

const newName = () => `verify-${randomBytes(6).toString('hex')}`;
const open = (clock: Clock, topicSettings: Record<string, string> = {}) =>
  openKafkaLog({ connection: { brokers: [address] }, clock, topicSettings });

// The suite gives records any time there is: Kafka would refuse those in the future, and delete those long past.
const ANY_TIME = { 'message.timestamp.after.max.ms': '9223372036854775807', 'retention.ms': '-1' };

logSuite('Kafka', (clock) => {
  const log = open(clock, ANY_TIME);
  return { log: withOwnNames(log, newName()), dispose: () => log.close() };
});

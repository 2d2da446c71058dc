import { expect, test } from '@jest/globals';
import { patientReader } from '../../local/patient-reader.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { LogReader } from '../../runtime/topics.ts';
import { createFakeClock } from '../../testing/fake-clock.ts';
import { codeOf } from '../rejection.ts';

const OF = { topic: 't', partition: 0 };

/** A log that is away for so many reads. */
function open(awayFor: number, code: 'KAFKA_UNAVAILABLE' | 'KAFKA_REFUSED' = 'KAFKA_UNAVAILABLE') {
  const clock = createFakeClock({ autoAdvance: true });
  const stop = new AbortController();
  const said: string[] = [];
  const say = (message: string) => void said.push(message);
  let left = awayFor;
  const log = {
    read: async () => {
      if (left-- > 0) throw new MillraceError(code, 'away');
      return [];
    },
    passed: async () => 7,
  } as unknown as LogReader;
  const reader = patientReader(log, {
    clock,
    log: { debug: say, info: say, warn: say, error: say },
    stop: stop.signal,
  });
  return { reader, clock, stop, said };
}

test('an outage is waited for, and told of once when it begins and once when it is over', async () => {
  const { reader, said, clock } = open(6);
  const startedAt = clock.now();
  const reading = reader.read(OF, 0, 1);
  // What is known of what was read says nothing of the log.
  expect(await reader.passed!(OF, 0)).toBe(7);
  await reading;
  expect(said).toEqual(['The topics cannot be reached', 'The topics can be reached again']);
  expect(clock.now() - startedAt).toBe(200 + 400 + 800 + 1_600 + 3_200 + 5_000);
});

test('what only a person can fix is not waited for, nor an outage once the source is to stop', async () => {
  expect(await codeOf(open(1, 'KAFKA_REFUSED').reader.read(OF, 0, 1))).toBe('KAFKA_REFUSED');
  const { reader, stop } = open(Number.POSITIVE_INFINITY);
  const reading = codeOf(reader.read(OF, 0, 1));
  stop.abort();
  expect(await reading).toBe('KAFKA_UNAVAILABLE');
});

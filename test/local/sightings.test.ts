import { expect, jest, test } from '@jest/globals';
import { createSightings } from '../../local/sightings.ts';
import { defineTopic } from '../../runtime/contract/contract.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { deadLetter } from '../dead-letters.ts';

function open({ pii }: { pii: boolean }, thrown: unknown = new Error('no such customer')) {
  const topic = defineTopic<{ key: string }>({
    name: 't',
    owner: 'o',
    key: 'key',
    versions: [
      { version: 1, schema: { type: 'record', name: 'R', fields: [{ name: 'key', type: 'string', pii }] } },
    ],
  });
  const sightings = createSightings({ topic });
  const warn = jest.fn();
  const log = sightings.wrapLog({ debug() {}, info() {}, error() {}, warn });
  const consumer = sightings.wrapConsumer({
    async handle() {
      throw thrown;
    },
  } as unknown as AnyConsumer);
  return { sightings, log, warn, consumer };
}

const DEAD = { topic: 't', partition: 0, offset: 0, code: 'HANDLER_FAILED' };

test.each([true, false])(
  'a letter’s line has its error, and its text unless the data is personal: %s',
  async (pii) => {
    const { sightings, log, warn } = open({ pii });
    await sightings.wrapDeadLetters({ async put() {} }).put([deadLetter()]);
    log.warn('Record dead-lettered', DEAD);
    const seen = { ...DEAD, errorName: 'TypeError', ...(!pii && { errorMessage: 'cannot read this' }) };
    expect(warn).toHaveBeenLastCalledWith('Record dead-lettered', seen);
    // It is said once: a second letter of the record is another error.
    log.warn('Record dead-lettered', DEAD);
    expect(warn).toHaveBeenLastCalledWith('Record dead-lettered', DEAD);
  },
);

test('a hold’s line has what handle() threw', async () => {
  const { log, warn, consumer } = open({ pii: false });
  await expect(consumer.handle([], {} as never)).rejects.toThrow('no such customer');
  const held = { action: 'hold', errorName: 'Error' };
  log.warn('Line held: trying again', held);
  expect(warn).toHaveBeenLastCalledWith(
    'Line held: trying again',
    expect.objectContaining({ ...held, errorMessage: 'no such customer' }),
  );
  log.warn('Line held: trying again', { action: 'hold', errorName: 'MillraceError' });
  expect(warn).toHaveBeenLastCalledWith('Line held: trying again', {
    action: 'hold',
    errorName: 'MillraceError',
  });
});

test('what cannot even be asked what it is is thrown on as it is', async () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const { consumer } = open({ pii: false }, proxy);
  const thrown = await consumer.handle([], {} as never).then(
    () => undefined,
    (error: unknown) => [error],
  );
  expect(thrown![0] === proxy).toBe(true);
});

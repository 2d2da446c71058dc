import { beforeEach, describe, expect, test } from '@jest/globals';
import { createFakeClock } from '../../../adapters/memory/fake-clock.ts';
import { createMemoryObjects } from '../../../adapters/memory/memory-objects.ts';
import { failureDocument } from '../../../local/event-source/failure-document.ts';
import { createGivenUpShelf, GIVEN_UP_PREFIX } from '../../../runtime/dead-letters/given-up-letters.ts';
import type { ObjectStore } from '../../../runtime/dead-letters/objects.ts';
import type { DeadLetterShelf } from '../../../runtime/dead-letters/reader.ts';
import { deadLetter } from '../../dead-letters.ts';

const CONTEXT = {
  requestContext: {
    requestId: 'request-1',
    functionArn: 'arn:aws:lambda:eu-west-1:123456789012:function:fn',
    condition: 'RetryAttemptsExhausted',
    approximateInvokeCount: 3,
  },
  responseContext: { statusCode: 200, executedVersion: '12', functionError: 'Unhandled' },
} as const;

describe('the shelf of batches given up', () => {
  const clock = createFakeClock();
  let objects: ObjectStore;
  let shelf: DeadLetterShelf;
  const open = () => createGivenUpShelf({ of: { consumer: 'c', epoch: 1, topic: 't' }, objects });
  beforeEach(() => {
    objects = createMemoryObjects({ clock });
    shelf = open();
  });

  const giveUp = async (name: string, offsets: readonly number[]) => {
    const records = offsets.map((offset) => deadLetter({ offset }).record);
    const document = failureDocument(records, CONTEXT, clock.now());
    await objects.put(`${GIVEN_UP_PREFIX}${name}`, Buffer.from(JSON.stringify(document)));
  };
  const look = (at = shelf) => Array.fromAsync(at.look());
  const kept = async () =>
    (await Array.fromAsync(objects.list(''))).map(({ key }) => key.slice(GIVEN_UP_PREFIX.length));

  test('shows each record of each batch as a letter, stored when the batch was', async () => {
    await giveUp('one', [1, 2]);
    await clock.advance(1_000);
    await giveUp('two', [7]);
    const copies = await look();
    expect(copies).toMatchObject([
      { letter: { id: 'c/t/0/1', failure: { code: 'BATCH_GIVEN_UP' } }, payload: null, message: null },
      { letter: { id: 'c/t/0/2' } },
      { letter: { id: 'c/t/0/7' } },
    ]);
    expect(copies.map(({ storedAt }) => clock.now() - storedAt)).toEqual([1_000, 1_000, 0]);
    expect(new Set(copies.map(({ copy }) => copy)).size).toBe(3);
    expect((await look()).map(({ copy }) => copy)).toEqual(copies.map(({ copy }) => copy));
  });

  test('takes a batch away when all of its records were removed, and not before', async () => {
    await giveUp('one', [1, 2, 3]);
    await giveUp('two', [7]);
    const [first, second, third] = await look();
    await shelf.remove([first!]);
    await shelf.remove([first!, second!]);
    expect(await kept()).toEqual(['one', 'two']);
    // What was shown again in between counts as well.
    await look();
    await shelf.remove([third!]);
    expect(await kept()).toEqual(['two']);
    await shelf.remove([third!]);
    await shelf.remove(await look());
    expect(await kept()).toEqual([]);
  });

  test('shows a removed record no more, here or to another process, and goes away with the last', async () => {
    await giveUp('one', [1, 2]);
    const other = open();
    const [first] = await look();
    const [, second] = await look(other);
    await shelf.remove([first!]);
    expect(await look(other)).toMatchObject([{ copy: second!.copy, letter: { id: 'c/t/0/2' } }]);
    await other.remove([second!]);
    expect(await kept()).toEqual([]);
  });

  test('shows a document that lacks its records as one that cannot be read', async () => {
    const document = failureDocument([deadLetter({ offset: 1 }).record], CONTEXT, clock.now());
    await objects.put(
      `${GIVEN_UP_PREFIX}bare`,
      Buffer.from(JSON.stringify({ ...document, payload: undefined })),
    );
    const [bare] = await look();
    expect(bare).toMatchObject({ error: { code: 'DEAD_LETTER_UNREADABLE' } });
    await shelf.remove([bare!]);
    expect(await kept()).toEqual([]);
  });

  test('shows what it cannot read as one, whole, and takes it away', async () => {
    await objects.put(`${GIVEN_UP_PREFIX}broken`, Buffer.from('{"half":'));
    await giveUp('one', [1]);
    const [broken, letter] = await look();
    expect(broken).toMatchObject({
      error: { code: 'DEAD_LETTER_UNREADABLE' },
      message: { body: '{"half":' },
    });
    expect(letter).toMatchObject({ letter: { id: 'c/t/0/1' } });
    await shelf.remove([broken!]);
    expect(await kept()).toEqual(['one']);
  });

  test('looks at nothing but what the event source put there', async () => {
    await objects.put('audit/x.json', Buffer.from('{}'));
    await objects.put('dead-letters/c/t/0/1/x.json', Buffer.from('{}'));
    expect(await look()).toEqual([]);
  });
});

import { beforeEach, describe, expect, test } from '@jest/globals';
import { failureDocument } from '../../../local/event-source/failure-document.ts';
import { createGivenUpReader, GIVEN_UP_PREFIX } from '../../../runtime/dead-letters/given-up-letters.ts';
import { copyName, type DeadLetterReader } from '../../../runtime/dead-letters/reader.ts';
import type { ObjectStore } from '../../../runtime/objects.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
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

describe('the reader of batches given up', () => {
  const clock = createFakeClock();
  let objects: ObjectStore;
  let reader: DeadLetterReader;
  const open = () => createGivenUpReader({ of: { consumer: 'c', epoch: 1, topic: 't' }, objects });
  beforeEach(() => {
    objects = createMemoryObjects({ clock });
    reader = open();
  });

  const giveUp = async (name: string, offsets: readonly number[]) => {
    const records = offsets.map((offset) => deadLetter({ offset }).record);
    const document = failureDocument(records, CONTEXT, clock.now());
    await objects.put(`${GIVEN_UP_PREFIX}${name}`, Buffer.from(JSON.stringify(document)));
  };
  const scan = (at = reader) => Array.fromAsync(at.scan());
  const kept = async () =>
    (await Array.fromAsync(objects.list(''))).map(({ key }) => key.slice(GIVEN_UP_PREFIX.length));

  test('shows each record of each batch as a letter, stored when the batch was', async () => {
    await giveUp('one', [1, 2]);
    await clock.advance(1_000);
    await giveUp('two', [7]);
    const copies = await scan();
    expect(copies).toMatchObject([
      { letter: { id: 'c/t/0/1', failure: { code: 'BATCH_GIVEN_UP' } }, payload: null, message: null },
      { letter: { id: 'c/t/0/2' } },
      { letter: { id: 'c/t/0/7' } },
    ]);
    expect(copies.map(({ storedAt }) => clock.now() - storedAt)).toEqual([1_000, 1_000, 0]);
    expect(new Set(copies.map(({ ref }) => ref)).size).toBe(3);
    expect((await scan()).map(({ ref }) => ref)).toEqual(copies.map(({ ref }) => ref));
  });

  test('takes a batch away when all of its records were removed, and not before', async () => {
    await giveUp('one', [1, 2, 3]);
    await giveUp('two', [7]);
    const [first, second, third] = await scan();
    await reader.remove([first!]);
    await reader.remove([first!, second!]);
    expect(await kept()).toEqual(['one', 'two']);
    // What was shown again in between counts as well.
    await scan();
    await reader.remove([third!]);
    expect(await kept()).toEqual(['two']);
    await reader.remove([third!]);
    await reader.remove(await scan());
    expect(await kept()).toEqual([]);
  });

  test('shows a removed record no more, here or to another process, and goes away with the last', async () => {
    await giveUp('one', [1, 2]);
    const other = open();
    const [first] = await scan();
    const [, second] = await scan(other);
    await reader.remove([first!]);
    expect(await scan(other)).toMatchObject([{ ref: second!.ref, letter: { id: 'c/t/0/2' } }]);
    await other.remove([second!]);
    expect(await kept()).toEqual([]);
  });

  test('has a record under the same name in every plan, also once another was removed and the batch stored again', async () => {
    await giveUp('one', [1, 2]);
    const [first, second] = await scan();
    await clock.advance(1_000);
    await reader.remove([first!]);
    const [left] = await scan();
    expect(left!.storedAt).toBeGreaterThan(second!.storedAt);
    expect(copyName(left!)).toBe(copyName(second!));
  });

  test('shows a document that lacks its records as one that cannot be read', async () => {
    const document = failureDocument([deadLetter({ offset: 1 }).record], CONTEXT, clock.now());
    await objects.put(
      `${GIVEN_UP_PREFIX}bare`,
      Buffer.from(JSON.stringify({ ...document, payload: undefined })),
    );
    const [bare] = await scan();
    expect(bare).toMatchObject({ error: { code: 'DEAD_LETTER_UNREADABLE' } });
    await reader.remove([bare!]);
    expect(await kept()).toEqual([]);
  });

  test('shows what it cannot read as one, whole, and takes it away', async () => {
    await objects.put(`${GIVEN_UP_PREFIX}broken`, Buffer.from('{"half":'));
    await giveUp('one', [1]);
    const [broken, letter] = await scan();
    expect(broken).toMatchObject({
      error: { code: 'DEAD_LETTER_UNREADABLE' },
      message: { body: '{"half":' },
    });
    expect(letter).toMatchObject({ letter: { id: 'c/t/0/1' } });
    await reader.remove([broken!]);
    expect(await kept()).toEqual(['one']);
  });

  test('looks at nothing but what the event source put there', async () => {
    await objects.put('audit/x.json', Buffer.from('{}'));
    await objects.put('dead-letters/c/t/0/1/x.json', Buffer.from('{}'));
    expect(await scan()).toEqual([]);
  });
});

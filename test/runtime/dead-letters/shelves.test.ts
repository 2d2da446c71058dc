import { describe, expect, test } from '@jest/globals';
import { createFakeClock } from '../../../adapters/memory/fake-clock.ts';
import { createMemoryDeadLetters } from '../../../adapters/memory/memory-dead-letters.ts';
import { type DeadLetterShelf, joinShelves } from '../../../runtime/dead-letters/reader.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { deadLetter } from '../../dead-letters.ts';
import { codeOf } from '../../rejection.ts';

const look = (shelf: DeadLetterShelf) => Array.fromAsync(shelf.look());
const idsOn = async (shelf: DeadLetterShelf) =>
  (await look(shelf)).map((copy) => ('letter' in copy ? copy.letter.id : ''));

describe('joined shelves', () => {
  async function setUp() {
    const clock = createFakeClock();
    const [queue, topic] = [createMemoryDeadLetters({ clock }), createMemoryDeadLetters({ clock })];
    await queue.put([deadLetter({ offset: 1 }), deadLetter({ offset: 2 })]);
    await topic.put([deadLetter({ offset: 1 }), deadLetter({ offset: 3 })]);
    return { queue, topic, joined: joinShelves({ queue, topic }) };
  }

  test('show all copies, one shelf after the other, and tell them apart', async () => {
    const { queue, topic, joined } = await setUp();
    expect(await idsOn(joined)).toEqual(['c/t/0/1', 'c/t/0/2', 'c/t/0/1', 'c/t/0/3']);
    // Two memory queues number their messages alike.
    expect((await look(queue)).map(({ copy }) => copy)).toEqual((await look(topic)).map(({ copy }) => copy));
    expect(new Set((await look(joined)).map(({ copy }) => copy)).size).toBe(4);
  });

  test('remove each copy from the shelf it stands on', async () => {
    const { queue, topic, joined } = await setUp();
    const copies = await look(joined);
    await joined.remove([copies[1]!, copies[2]!]);
    expect(await idsOn(queue)).toEqual(['c/t/0/1']);
    expect(await idsOn(topic)).toEqual(['c/t/0/3']);
    await joined.remove(copies);
    expect(await idsOn(joined)).toEqual([]);
  });

  test('ask no shelf to remove nothing', async () => {
    const { queue, topic } = await setUp();
    const asked: string[] = [];
    const watched = (name: string, shelf: DeadLetterShelf): DeadLetterShelf => ({
      look: () => shelf.look(),
      async remove(copies) {
        asked.push(`${name} ${copies.length}`);
        await shelf.remove(copies);
      },
    });
    const joined = joinShelves({ queue: watched('queue', queue), topic: watched('topic', topic) });
    const copies = await look(joined);
    await joined.remove([]);
    await joined.remove(copies.slice(2));
    expect(asked).toEqual(['topic 2']);
  });

  test('end the look at the shelf they are at when it is ended early', async () => {
    const ended: string[] = [];
    const shelf = (name: string): DeadLetterShelf => ({
      async *look() {
        try {
          for (const offset of [1, 2]) {
            const letter = deadLetter({ offset });
            yield { copy: `${offset}`, storedAt: 0, letter, payload: null, message: null };
          }
        } finally {
          ended.push(name);
        }
      },
      async remove() {},
    });
    for await (const _ of joinShelves({ queue: shelf('queue'), topic: shelf('topic') }).look()) break;
    expect(ended).toEqual(['queue']);
  });

  test('surface what a shelf says', async () => {
    const { queue } = await setUp();
    const failing = () => Promise.reject(new MillraceError('TOPIC_UNKNOWN', 'no such topic'));
    const topic: DeadLetterShelf = {
      async *look() {
        yield* [] as never[];
        await failing();
      },
      remove: failing,
    };
    expect(await codeOf(look(joinShelves({ queue, topic })))).toBe('TOPIC_UNKNOWN');
  });
});

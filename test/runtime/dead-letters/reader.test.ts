import { describe, expect, test } from '@jest/globals';
import { type DeadLetterReader, joinReaders } from '../../../runtime/dead-letters/reader.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryDeadLetters } from '../../../testing/memory-dead-letters.ts';
import { deadLetter } from '../../dead-letters.ts';
import { codeOf } from '../../rejection.ts';

const scan = (reader: DeadLetterReader) => Array.fromAsync(reader.scan());
const idsOn = async (reader: DeadLetterReader) =>
  (await scan(reader)).map((copy) => ('letter' in copy ? copy.letter.id : ''));

describe('joined readers', () => {
  async function setUp() {
    const clock = createFakeClock();
    const [queue, topic] = [createMemoryDeadLetters({ clock }), createMemoryDeadLetters({ clock })];
    await queue.put([deadLetter({ offset: 1 }), deadLetter({ offset: 2 })]);
    await topic.put([deadLetter({ offset: 1 }), deadLetter({ offset: 3 })]);
    return { queue, topic, joined: joinReaders({ queue, topic }) };
  }

  test('show all copies, one reader after the other, and tell them apart', async () => {
    const { queue, topic, joined } = await setUp();
    expect(await idsOn(joined)).toEqual(['c/t/0/1', 'c/t/0/2', 'c/t/0/1', 'c/t/0/3']);
    // Two memory queues number their messages alike.
    expect((await scan(queue)).map(({ ref }) => ref)).toEqual((await scan(topic)).map(({ ref }) => ref));
    expect(new Set((await scan(joined)).map(({ ref }) => ref)).size).toBe(4);
  });

  test('remove each copy from the reader it stands on', async () => {
    const { queue, topic, joined } = await setUp();
    const copies = await scan(joined);
    await joined.remove([copies[1]!, copies[2]!]);
    expect(await idsOn(queue)).toEqual(['c/t/0/1']);
    expect(await idsOn(topic)).toEqual(['c/t/0/3']);
    await joined.remove(copies);
    expect(await idsOn(joined)).toEqual([]);
  });

  test('ask no reader to remove nothing', async () => {
    const { queue, topic } = await setUp();
    const asked: string[] = [];
    const watched = (name: string, reader: DeadLetterReader): DeadLetterReader => ({
      scan: () => reader.scan(),
      async remove(copies) {
        asked.push(`${name} ${copies.length}`);
        await reader.remove(copies);
      },
    });
    const joined = joinReaders({ queue: watched('queue', queue), topic: watched('topic', topic) });
    const copies = await scan(joined);
    await joined.remove([]);
    await joined.remove(copies.slice(2));
    expect(asked).toEqual(['topic 2']);
  });

  test('end the look at the reader they are at when it is ended early', async () => {
    const ended: string[] = [];
    const reader = (name: string): DeadLetterReader => ({
      async *scan() {
        try {
          for (const offset of [1, 2]) {
            const letter = deadLetter({ offset });
            yield { ref: `${offset}`, storedAt: 0, letter, payload: null, message: null };
          }
        } finally {
          ended.push(name);
        }
      },
      async remove() {},
    });
    for await (const _ of joinReaders({ queue: reader('queue'), topic: reader('topic') }).scan()) break;
    expect(ended).toEqual(['queue']);
  });

  test('surface what a reader says', async () => {
    const { queue } = await setUp();
    const failing = () => Promise.reject(new MillraceError('TOPIC_UNKNOWN', 'no such topic'));
    const topic: DeadLetterReader = {
      async *scan() {
        yield* [] as never[];
        await failing();
      },
      remove: failing,
    };
    expect(await codeOf(scan(joinReaders({ queue, topic })))).toBe('TOPIC_UNKNOWN');
  });
});

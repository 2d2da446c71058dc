import { dateMs } from '../dates.ts';
import type { DeadLetter, DeadLetterStore } from '../delivery/dead-letter.ts';
import { MillraceError } from '../errors.ts';
import { type RawRecord, recordId } from '../record.ts';
import { type LogReader, type Producer, partitionsOf, readRange } from '../topics.ts';
import { fromForeignRecord, toolOf } from './foreign-letters.ts';
import { fromKafkaRecord, isKafkaLetter, toKafkaRecord } from './kafka-envelope.ts';
import type { DeadLetterReader, StoredLetter, UnreadableLetter } from './reader.ts';

/**
 * What takes a letter out of a topic, from which nothing can be deleted: a record without a value, under the letter's
 * own key, with a header that names the letter's position.
 */
const CLOSED_HEADER = 'millrace.dlq.closed';

interface Owner {
  readonly consumer: string;
  readonly epoch: number;
  readonly topic: string;
}

/** One consumer's dead letters in a Kafka topic: key, value and headers untouched, the failure in further headers. */
export function createTopicLetters({
  topic,
  producer,
}: {
  readonly topic: string;
  readonly producer: Producer;
}): DeadLetterStore {
  return {
    async put(letters) {
      try {
        await producer.send(topic, letters.map(toKafkaRecord));
      } catch (cause) {
        throw new MillraceError(
          'DEAD_LETTER_STORE_UNAVAILABLE',
          `The dead-letter topic ${topic} did not accept ${letters.length} letters. Nothing of their batch is committed; it ` +
            'is delivered again.',
          { cause, details: { topic, letters: letters.length } },
        );
      }
    },
  };
}

/** The same topic for who looks after it; letters in other tools' dialects are read as the consumer's too. */
export function createTopicReader({
  topic,
  of,
  producer,
  reader,
}: {
  readonly topic: string;
  /** Whose letters are shown; those of other tools are taken for its own where they come from its topic. */
  readonly of: Owner;
  readonly producer: Producer;
  readonly reader: Pick<LogReader, 'partitions' | 'bounds' | 'read'>;
}): DeadLetterReader {
  async function* recordsUpTo(ends: readonly number[], starts: readonly number[]): AsyncIterable<RawRecord> {
    for (const [partition, end] of ends.entries()) {
      yield* readRange(reader, { topic, partition }, starts[partition]!, end);
    }
  }

  return {
    async *scan() {
      const bounds = await Promise.all(
        (await partitionsOf(reader, topic)).map((partition) => reader.bounds({ topic, partition })),
      );
      const starts = bounds.map(({ start }) => start);
      const ends = bounds.map(({ end }) => end);
      // A letter is closed by a record behind it, so the topic is read twice.
      const closed = new Set<string>();
      for await (const record of recordsUpTo(ends, starts)) {
        const position = closedBy(record);
        if (position !== undefined) closed.add(position);
      }
      for await (const record of recordsUpTo(ends, starts)) {
        if (closedBy(record) !== undefined || closed.has(recordId(record))) continue;
        const shown = shownAs(record, of);
        if (shown) yield shown;
      }
    },
    async remove(copies) {
      await producer.send(
        topic,
        copies.map((each) => ({
          key: 'letter' in each ? each.letter.record.key : null,
          value: null,
          headers: [{ name: CLOSED_HEADER, value: Buffer.from(each.ref) }],
        })),
      );
    },
  };
}

/** A letter is no marker, whatever headers its record came with. */
function closedBy(record: RawRecord): string | undefined {
  if (record.value !== null || isKafkaLetter(record) || toolOf(record.headers)) return undefined;
  return record.headers.find(({ name }) => name === CLOSED_HEADER)?.value?.toString();
}

/** Undefined where the record is nobody's dead letter, or another consumer's. */
function shownAs(record: RawRecord, of: Owner): StoredLetter | UnreadableLetter | undefined {
  const shown = { ref: recordId(record), storedAt: dateMs(record.timestamp), message: null };
  try {
    const letter: DeadLetter | undefined = isKafkaLetter(record)
      ? fromKafkaRecord(record)
      : fromForeignRecord(record, of);
    if (letter?.consumer !== of.consumer || letter.record.topic !== of.topic) return undefined;
    return { ...shown, letter, payload: null };
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    return { ...shown, error };
  }
}

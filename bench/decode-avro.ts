import { kafkaConsumer, SchemaType } from '@aws-lambda-powertools/kafka';
import type { Context } from 'aws-lambda';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { createDecoder } from '../runtime/contract/codec.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { encodeKafkaEvent, type KafkaEvent, parseKafkaEvent } from '../runtime/lambda/kafka-event.ts';
import { measure, type Result, resultOf } from './measure.ts';
import { FRAME_BYTES, inPartitions, makeRecords, schema, type } from './pageviews.ts';

/** From Lambda's event to values in hand: ours, a bare loop over a parsed type, and the popular library. */
export async function benchDecode(count: number, rounds: number, registry: SchemaRegistry): Promise<Result> {
  const event = encodeKafkaEvent(inPartitions(await makeRecords(count, registry)));
  const stripped = withoutFraming(event);
  const decoder = createDecoder(pageviews, registry);
  const powertools = kafkaConsumer(
    async ({ records }) => {
      let views = 0;
      for (const { key, value } of records) if ((value as { contentId: string }).contentId && key) views++;
      expectAll(views, count);
    },
    { value: { type: SchemaType.AVRO, schema: JSON.stringify(schema) } },
  );

  const timings = await measure(
    {
      ours: async () => {
        let views = 0;
        for (const result of await decoder.decodeBatch(parseKafkaEvent(event, pageviews.name))) {
          if ('record' in result && result.record.value.contentId && result.record.key) views++;
        }
        expectAll(views, count);
      },
      floor: () => {
        let views = 0;
        for (const records of Object.values(event.records)) {
          for (const { key, value } of records) {
            const decoded = type.fromBuffer(Buffer.from(value!, 'base64').subarray(FRAME_BYTES));
            if (decoded.contentId && Buffer.from(key!, 'base64').toString()) views++;
          }
        }
        expectAll(views, count);
      },
      peer: () => powertools(stripped as never, {} as Context),
    },
    { rounds, warmUps: 5 },
  );
  return resultOf('decode-avro', count, timings);
}

/** The same event with bare Avro bodies: what Powertools reads, which knows no framing. */
export function withoutFraming(event: KafkaEvent): KafkaEvent {
  const strip = (value: string) => Buffer.from(value, 'base64').subarray(FRAME_BYTES).toString('base64');
  return {
    ...event,
    records: Object.fromEntries(
      Object.entries(event.records).map(([name, records]) => [
        name,
        records.map((record) => ({ ...record, value: strip(record.value!) })),
      ]),
    ),
  };
}

function expectAll(got: number, wanted: number): void {
  if (got !== wanted) throw new Error(`read ${got} records of ${wanted}`);
}

import { describe, expect, test } from '@jest/globals';
import { checkContracts } from '../../adapters/files/contract-files.ts';
import { pageviews } from '../../contracts/news.pageviews/topic.ts';
import app from '../../millrace.config.ts';
import { createAvroReader, parseAvro } from '../../runtime/avro/avro-type.ts';

test('this repository’s contracts have no problem: schemas, compatibility, keys, generated files', async () => {
  expect(await checkContracts('contracts', app.contracts)).toEqual([]);
});

describe('news.pageviews', () => {
  const [first, second] = pageviews.versions.map(({ schema }) => ({ schema, type: parseAvro(schema) }));
  const v1 = {
    eventId: 'e1',
    contentId: 'politics/budget',
    sessionId: 's1',
    userId: null,
    url: 'https://example.com/politics/budget',
    referrer: null,
    section: 'politics',
    device: 'PHONE',
    occurredAt: 1_795_000_000_000,
    engagedMs: 1_200,
  };

  test('v2 reads what v1 wrote, without a country', () => {
    const bytes = first!.type.toBuffer(v1);
    expect(createAvroReader(second!.type, first!.schema, '1').read(bytes, 0)).toEqual({
      ...v1,
      country: null,
    });
  });

  test('v1 reads what v2 writes: a device it does not know is OTHER', () => {
    const bytes = second!.type.toBuffer({ ...v1, device: 'TV', country: 'PT' });
    expect(createAvroReader(first!.type, second!.schema, '2').read(bytes, 0)).toEqual({
      ...v1,
      device: 'OTHER',
    });
  });
});

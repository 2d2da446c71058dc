import { expect, test } from '@jest/globals';
import { waitingRow } from '../../../cli/console/parked.ts';
import { defineTopic } from '../../../runtime/contract/contract.ts';

const SECRET = 'ada@example.org';
const keyedBy = (pii: boolean) =>
  defineTopic<{ mail: string }>({
    name: 'visits',
    owner: 'web',
    key: 'mail',
    versions: [
      {
        version: 1,
        schema: {
          type: 'record',
          name: 'Visit',
          fields: [{ name: 'mail', type: 'string', ...(pii && { pii: true }) }],
        },
      },
    ],
  });

const rowOf = (pii: boolean, blockedBy: number | null, options: object) => {
  const consumer = { name: 'reader', epoch: 1, topic: keyedBy(pii), deadLetter: 'sqs', deadLetterTopic: '' };
  const waiting = {
    ...{ topic: 'visits', partition: 3, key: Buffer.from(SECRET) },
    ...{ blockedBy, lastLetter: blockedBy, records: 2, oldestAt: 1 },
  };
  return waitingRow(waiting, { consumer, named: 'reader', place: {} } as never, options);
};

test.each([{}, { showValues: true }])(
  'a key that is personal data is masked in the list, named by its letter, and found by no word of it: %j',
  (options) => {
    const row = rowOf(true, 42, options);
    expect(row).toMatchObject({
      key: `<key of ${SECRET.length} bytes>`,
      name: { letter: 'reader/visits/3/42' },
      command: 'npx millrace park show --consumer reader --letter reader/visits/3/42',
    });
    // Nor is it in what a search looks at, nor in base64.
    expect(JSON.stringify(row)).not.toContain(SECRET);
    expect(JSON.stringify(row)).not.toContain(Buffer.from(SECRET).toString('base64').slice(0, -4));
    expect(rowOf(true, null, options).name).toBeNull();
  },
);

test('any other key is shown, and named by its bytes', () => {
  expect(rowOf(false, 42, {})).toMatchObject({
    key: SECRET,
    name: { base64: Buffer.from(SECRET).toString('base64'), partition: 3 },
  });
});

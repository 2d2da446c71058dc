import { describe, expect, test } from '@jest/globals';
import { defineDatabase } from '../../../runtime/capture/database.ts';
import { defineTable } from '../../../runtime/capture/table.ts';

const database = defineDatabase({ name: 'news' });
const declare = (columns: Readonly<Record<string, string>>, table = 'articles') =>
  defineTable({ database, table, key: ['id'], columns: { id: 'bigint', ...columns } });

describe('defineTable', () => {
  test.each(['_cdc_key', '_CDC_w_place', '_cdc_'])(
    'refuses the column %s, whose name is the warehouse’s',
    (column) => {
      expect(() => declare({ [column]: 'text' })).toThrow(
        expect.objectContaining({
          code: 'TABLE_INVALID',
          message: `Table "public.articles": columns is "${column}"; it takes names that do not begin with "_cdc_": such columns are the warehouse's own. Rename the column in the database, or leave it out: it is archived all the same.`,
        }),
      );
    },
  );

  test.each(['place', 'kind', 'lsn', '_cdc', 'cdc_key', 'order'])('takes the column %s', (column) => {
    expect(declare({ [column]: 'text' }).columns.map(({ name }) => name)).toEqual(['id', column]);
  });
});

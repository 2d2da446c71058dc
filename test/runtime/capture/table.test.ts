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

  test.each(['order', 'group', 'USER', 'loaded_objects'])(
    'a table %s needs a name in the warehouse',
    (table) => {
      expect(() => declare({}, table)).toThrow(
        expect.objectContaining({
          code: 'TABLE_INVALID',
          message: expect.stringMatching(/it takes no word that SQL reserves.* by "name" in defineTable\(\)/),
        }),
      );
      const named = defineTable({ database, table, name: 'theirs', key: ['id'], columns: { id: 'bigint' } });
      expect(named).toMatchObject({ table, name: 'theirs' });
    },
  );

  test('a name has room for what archive and models have around it', () => {
    expect(declare({}, 'a'.repeat(44)).name).toHaveLength(44);
    expect(() => declare({}, 'a'.repeat(45))).toThrow('it takes up to 44 characters');
  });

  test.each([
    'numeric(5,9)',
    'numeric(0)',
    'numeric(1001,2)',
    'bigint(8)',
    'text(3)',
    'varchar(0)',
    'timestamp(7)',
  ])('refuses the type %s', (type) => {
    expect(() => declare({ amount: type })).toThrow(
      expect.objectContaining({
        code: 'TABLE_INVALID',
        message: expect.stringContaining(`columns.amount is "${type}"; it takes `),
      }),
    );
  });

  test.each([
    'numeric',
    'numeric(9,9)',
    'numeric(1000)',
    'varchar(20)',
    'timestamptz(3)',
    'interval(6)',
    'time(0)',
  ])('takes the type %s', (type) => {
    expect(declare({ amount: type }).columns[1]).toMatchObject({ name: 'amount' });
  });
});

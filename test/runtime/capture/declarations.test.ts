/** Declarations that are not allowed, as JavaScript makes them too: each is refused by what, got, allowed and next. */
import { expect, test } from '@jest/globals';
import { defineArchive } from '../../../runtime/archive/archive.ts';
import { defineDatabase } from '../../../runtime/capture/database.ts';
import { defineTable } from '../../../runtime/capture/table.ts';

const database = defineDatabase({ name: 'news' });
const good = { database, table: 'articles', key: ['id'], columns: { id: 'bigint' } };
const table = defineTable(good);

test.each<[unknown, string]>([
  [undefined, 'database is undefined; it takes what defineDatabase() returns'],
  [{ ...good, database: undefined }, 'database is undefined; it takes what defineDatabase() returns'],
  [{ ...good, database: null }, 'database is null; it takes what defineDatabase() returns'],
  [{ ...good, database: 'news' }, 'database is "news"; it takes what defineDatabase() returns'],
  [{ ...good, table: undefined }, 'table is undefined; it takes up to 63 letters'],
  [{ ...good, table: 7 }, 'table is 7; it takes up to 63 letters'],
  [{ ...good, schema: null }, 'schema is null; it takes up to 63 letters'],
  [{ ...good, name: null }, 'name is null; it takes up to 58 lower-case letters'],
  [
    { ...good, columns: undefined },
    "columns is undefined; it takes its columns with their types, such as { id: 'bigint' }",
  ],
  [{ ...good, columns: ['id'] }, 'columns is ["id"]; it takes its columns with their types'],
  [{ ...good, columns: { id: null } }, 'columns.id is null; it takes a PostgreSQL type'],
  [{ ...good, columns: { id: 7 } }, 'columns.id is 7; it takes a PostgreSQL type'],
  [{ ...good, columns: { id: { type: 7 } } }, 'columns.id is 7; it takes a PostgreSQL type'],
  [{ ...good, columns: { id: {} } }, 'columns.id is undefined; it takes a PostgreSQL type'],
  [{ ...good, key: undefined }, 'key is null; it takes the columns of its primary key'],
  [{ ...good, key: 'id' }, 'key is "id"; it takes the columns of its primary key'],
  [{ ...good, key: ['id', 'id'] }, 'key is ["id","id"]; it takes each column once, and "id" is there twice'],
  [
    { ...good, table: 'a'.repeat(63) },
    'it takes up to 44 characters, since the consumer that archives the table is called after it and its database. Name its models in the warehouse by "name"',
  ],
])('defineTable refuses %j', (declaration, message) => {
  expect(() => defineTable(declaration as never)).toThrow(
    expect.objectContaining({ code: 'TABLE_INVALID', message: expect.stringContaining(message) }),
  );
});

test('the longest name of a table has an archive', () => {
  const name = 'a'.repeat(44);
  const long = defineTable({ ...good, table: 'a'.repeat(63), name });
  expect(defineArchive({ table: long }).name).toBe(`news-${name}-archive`);
  const prefixed = defineTable({ ...good, name: `news_${name}` });
  expect(defineArchive({ table: prefixed }).name).toBe(`news-${name}-archive`);
});

test.each<[unknown, string]>([
  [undefined, 'it takes either a topic or a table'],
  [{}, 'it takes either a topic or a table'],
  [{ topic: table.topic, table }, 'it takes either a topic or a table'],
  [{ topic: 'news.pageviews' }, 'topic is "news.pageviews"; it takes a contract'],
  [{ topic: null }, 'topic is null; it takes a contract'],
  [{ table: 'articles' }, 'table is "articles"; it takes what defineTable() returns'],
  [{ table: null }, 'table is null; it takes what defineTable() returns'],
  [{ table, windowMs: -1_000 }, 'windowMs is -1000; it takes whole seconds from 0 to 60,000'],
  [{ table, windowMs: '30' }, 'windowMs is "30"; it takes whole seconds from 0 to 60,000'],
  [{ table, maxRecords: 0 }, 'maxRecords is 0; it takes a whole number from 1 to 10,000'],
  [{ table, maxRecords: 20_000 }, 'maxRecords is 20000; it takes a whole number from 1 to 10,000'],
  [{ table, timeoutMs: 1 }, 'timeoutMs is 1; it takes a whole number'],
])('defineArchive refuses %j', (declaration, message) => {
  const refused = { code: 'CONSUMER_INVALID', message: expect.stringContaining(message) };
  expect(() => defineArchive(declaration as never)).toThrow(expect.objectContaining(refused));
  expect(() => defineArchive(declaration as never)).toThrow('Change it in defineArchive().');
});

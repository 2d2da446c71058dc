import { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { queryReadOnly } from '../../local/read-only-query.ts';

const pglite = new PGlite();
beforeAll(() => pglite.exec('CREATE TABLE kept (n int); INSERT INTO kept VALUES (1), (2)'), 30_000);
afterAll(() => pglite.close());

test('gives columns and rows, two columns of one name too', async () => {
  expect(await queryReadOnly(pglite, 'select n, n from kept order by n')).toEqual({
    columns: ['n', 'n'],
    rows: [
      [1, 1],
      [2, 2],
    ],
  });
});

test.each([
  ['sum(n)', 3],
  ['sum(n::bigint)', 3],
  ['count(*)', 2],
  ['9007199254740991::bigint', 9007199254740991],
  ['9007199254740993::bigint', '9007199254740993'],
  ['9007199254740993::numeric', '9007199254740993'],
  ['1.50::numeric', '1.50'],
  ['0.5::float8', 0.5],
  ['7::smallint', 7],
  ['true', true],
  ['null::text', null],
  ['\'{"a":[1]}\'::jsonb', { a: [1] }],
  ["timestamptz '2015-05-17 10:05:00+00'", '2015-05-17 10:05:00+00'],
  ["'{1,2}'::int[]", '{1,2}'],
])('%s is %j', async (expression, value) => {
  expect((await queryReadOnly(pglite, `select ${expression} from kept limit 1`)).rows).toEqual([[value]]);
});

describe('INPUT_INVALID', () => {
  test.each([
    ['delete from kept', /looking at tables only/],
    ['drop table kept', /looking at tables only/],
    ['with gone as (delete from kept returning n) select * from gone', /looking at tables only/],
    ["copy kept to '/tmp/kept'", /looking at tables only/],
    ["select pg_read_file('postgresql.conf')", /looking at tables only/],
    ['select 1; delete from kept', /several statements/],
    ['select * from nowhere', /relation "nowhere" does not exist/],
    ['selekt', /syntax error/],
  ])('%s', async (sql, message) => {
    await expect(queryReadOnly(pglite, sql)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringMatching(message),
    });
  });
});

test('nothing it runs lasts', async () => {
  await queryReadOnly(pglite, "select set_config('search_path', 'elsewhere', false)");
  await queryReadOnly(pglite, 'commit').catch(() => {});
  expect((await queryReadOnly(pglite, 'select n from kept')).rows).toHaveLength(2);
});

/** How values go into SQL and come back, whatever the driver. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Sink, SqlTransaction } from '../../../runtime/delivery/sink.ts';

export function valuesSuite(sink: () => Sink<SqlTransaction>): void {
  describe('values', () => {
    const query = (sql: string, parameters?: readonly unknown[]) =>
      sink()
        .transaction(({ tx }) => tx.query(sql, parameters))
        .then(({ rows }) => rows);
    const throughUnnest = (type: string, values: readonly unknown[]) =>
      query(`SELECT value FROM unnest($1::${type}[]) WITH ORDINALITY AS u (value, n) ORDER BY n`, [
        values,
      ]).then((rows) => rows.map(({ value }) => value));
    const text = fc.string({ unit: 'binary' }).map((value) => value.replaceAll('\0', '').toWellFormed());
    const instant = fc.date({
      min: new Date('0001-01-01T00:00:00Z'),
      max: new Date(8.64e15),
      noInvalidDate: true,
    });
    // No escapes in keys: V8's JSON.parse misreads some of them (https://github.com/nodejs/node/issues/63785).
    const key = fc.stringMatching(/^[a-z]{1,4}$/);
    const cases: [string, fc.Arbitrary<unknown>][] = [
      ['text', text],
      ['bigint', fc.maxSafeInteger()],
      ['int', fc.integer()],
      ['float8', fc.double({ noNaN: true }).map((value) => value + 0)],
      ['boolean', fc.boolean()],
      ['timestamptz', instant],
      ['bytea', fc.uint8Array().map((bytes) => Buffer.from(bytes))],
      ['jsonb', fc.dictionary(key, text, { noNullPrototype: true })],
    ];
    test.each(cases)('an array of %s comes back as it went, nulls included', async (type, arbitrary) => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.option(arbitrary), { maxLength: 20 }), async (values) => {
          expect(await throughUnnest(type, values)).toEqual(values);
        }),
        { numRuns: 40 },
      );
    });

    test('single parameters take the type the statement gives them', async () => {
      const bytes = Buffer.from([0, 92, 255]);
      const at = new Date('2026-11-24T09:08:07.654Z');
      const [row] = await query(
        `SELECT $1::int AS n, $2::bigint AS big, $3::text AS t, $4::boolean AS b, $5::timestamptz AS at,
         $6::bytea AS bytes, $7::jsonb AS json, $8::text AS missing, $9::numeric AS exact, $10::text[] AS list,
         $11::float8 AS inf`,
        [
          7,
          2n ** 53n - 1n,
          'a\\"{}',
          false,
          at,
          bytes,
          { a: [1] },
          undefined,
          '1.50',
          ['x,y', null],
          Infinity,
        ],
      );
      expect(row).toEqual({
        n: 7,
        big: 2 ** 53 - 1,
        t: 'a\\"{}',
        b: false,
        at,
        bytes,
        json: { a: [1] },
        missing: null,
        exact: '1.50',
        list: '{"x,y",NULL}',
        inf: Infinity,
      });
    });

    test('a bigint that no number holds is refused, not rounded', async () => {
      const read = query(`SELECT 9007199254740993::bigint AS total`);
      await expect(read).rejects.toMatchObject({
        code: 'SINK_REJECTED',
        message: expect.stringContaining('total::text'),
      });
    });

    test('what is no value is refused', async () => {
      for (const value of [new Date(Number.NaN), () => 1, Symbol('s')]) {
        await expect(query('SELECT $1::text', [value])).rejects.toMatchObject({ code: 'SINK_REJECTED' });
      }
    });

    test('what has no JSON is refused for good', async () => {
      const circular: Record<string, unknown> = {};
      circular.self = circular;
      for (const value of [{ n: 1n }, circular, [{ toJSON() {} }]]) {
        await expect(query('SELECT $1::jsonb', [value])).rejects.toMatchObject({
          code: 'SINK_REJECTED',
          action: 'dead-letter',
        });
      }
      await expect(query('SELECT 1', null as never)).rejects.toMatchObject({ code: 'SINK_REJECTED' });
    });

    test('text with U+0000 is refused as PostgreSQL refuses it, wherever it stands', async () => {
      for (const value of ['a\0', ['a', 'b\0'], [['\0']]]) {
        await expect(query('SELECT $1::text', [value])).rejects.toMatchObject({
          code: 'SINK_REJECTED',
          action: 'dead-letter',
          message:
            'PostgreSQL refused the data: text holds bytes that are not UTF-8, or a zero byte (SQLSTATE 22021).',
          details: { sqlState: '22021' },
        });
      }
    });

    test('affectedRows counts rows written, and only those', async () => {
      const counts = await sink().transaction(async ({ tx }) => {
        const run = async (sql: string) => (await tx.query(sql)).affectedRows;
        await run('CREATE TEMPORARY TABLE counted (id int, name text) ON COMMIT DROP');
        return [
          await run(`INSERT INTO counted SELECT n, 'x' FROM generate_series(100, 102) n`),
          await run(`UPDATE counted SET name = 'y' WHERE id > 100 RETURNING id`),
          await run('SELECT * FROM counted WHERE id >= 100'),
          await run('DELETE FROM counted WHERE id >= 100'),
        ];
      });
      expect(counts).toEqual([3, 2, 0, 3]);
    });
  });
}

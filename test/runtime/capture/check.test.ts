import { describe, expect, test } from '@jest/globals';
import { checkSource, type SourceFacts, type SourceTable } from '../../../runtime/capture/check.ts';
import { defineDatabase } from '../../../runtime/capture/database.ts';
import { captureSql } from '../../../runtime/capture/sql.ts';
import { capturedTables, defineTable } from '../../../runtime/capture/table.ts';

const database = defineDatabase({ name: 'shop' });
const orders = defineTable({
  database,
  table: 'Orders',
  key: ['id'],
  columns: {
    id: 'bigint',
    amount: 'numeric(38,9)',
    state: 'text',
    at: { type: 'timestamptz', nullable: false },
    tags: 'text[]',
  },
});
const tables = capturedTables([orders]);
const role = 'millrace_capture';

const realOrders: SourceTable = {
  kind: 'r',
  schema: 'public',
  table: 'Orders',
  replicaIdentity: 'd',
  primaryKey: ['id'],
  columns: [
    { name: 'id', type: 'bigint', isNullable: false },
    { name: 'amount', type: 'numeric(38,9)', isNullable: true },
    { name: 'state', type: 'enum', isNullable: true },
    { name: 'at', type: 'timestamp(3) with time zone', isNullable: false },
    { name: 'tags', type: 'character varying(20)[]', isNullable: true },
  ],
};
const heartbeat: SourceTable = {
  kind: 'r',
  schema: 'millrace_capture',
  table: 'heartbeat',
  replicaIdentity: 'd',
  primaryKey: ['id'],
  columns: [
    { name: 'id', type: 'integer', isNullable: false },
    { name: 'beat_at', type: 'timestamp with time zone', isNullable: false },
  ],
};
const sound: SourceFacts = {
  settings: { walLevel: 'logical', maxSlotWalKeepSize: '10GB', maxReplicationSlots: 10 },
  slotsInUse: 1,
  tables: [realOrders, heartbeat],
  publication: {
    isForAllTables: false,
    actions: ['insert', 'update', 'delete', 'truncate'],
    viaRoot: true,
    tables: ['public.Orders', 'millrace_capture.heartbeat', 'millrace_capture.signal'],
  },
  slot: { plugin: 'pgoutput', database: 'shop', isActive: true, walStatus: 'reserved', retainedBytes: 4_096 },
  role: { canLogIn: true, canReplicate: true, hasRdsIam: null, lacks: [] },
};

const findings = (facts: Partial<SourceFacts>) =>
  checkSource(database, tables, { ...sound, ...facts }, { role });
const problems = (facts: Partial<SourceFacts>) =>
  findings(facts)
    .filter(({ verdict }) => verdict === 'problem')
    .map(({ subject, text }) => `${subject} ${text}`);
const withOrders = (change: Partial<SourceTable>) =>
  problems({ tables: [{ ...realOrders, ...change }, heartbeat] });

describe('a check of the source', () => {
  test('finds nothing to do in a database that is as declared', () => {
    expect(findings({}).map(({ verdict }) => verdict)).toEqual([
      'ok',
      'ok',
      'ok',
      'ok',
      'ok',
      'ok',
      'ok',
      'ok',
    ]);
  });

  test('has something to do for each problem', () => {
    const all = findings({
      settings: { walLevel: 'replica', maxSlotWalKeepSize: '-1', maxReplicationSlots: 1 },
      tables: [],
      publication: undefined as never,
      slot: undefined as never,
      role: undefined as never,
    });
    for (const { verdict, fix } of all) expect(fix !== undefined).toBe(verdict === 'problem');
    expect(all.filter(({ verdict }) => verdict === 'problem').length).toBe(6);
  });

  test.each<[string, Partial<SourceTable>, string]>([
    ['a key', { primaryKey: [] }, 'has no primary key'],
    ['the same key', { primaryKey: ['amount'] }, 'has the primary key (amount); declared is (id)'],
    ['a replica identity', { replicaIdentity: 'n' }, 'has no replica identity'],
    ['that of its key', { replicaIdentity: 'i' }, 'has another index than its primary key'],
    ['to be a table', { kind: 'v' }, 'is no table'],
    [
      'the precision',
      {
        columns: realOrders.columns.map((each) =>
          each.name === 'amount' ? { ...each, type: 'numeric(10,2)' } : each,
        ),
      },
      'column amount is numeric(10,2); declared is numeric(38,9)',
    ],
    [
      'no nulls',
      { columns: realOrders.columns.map((each) => ({ ...each, isNullable: each.name !== 'id' })) },
      'column at may be null',
    ],
    ['its columns', { columns: realOrders.columns.slice(0, 4) }, 'column tags is not in the table'],
  ])('wants %s', (_, change, expected) => {
    expect(withOrders(change).join('\n')).toContain(`public.Orders ${expected}`);
  });

  test('takes a whole row for an identity', () => {
    expect(withOrders({ replicaIdentity: 'f' })).toEqual([]);
  });

  test('wants rds_iam of the role on RDS, where the connector has no password', () => {
    expect(problems({ role: { ...sound.role!, hasRdsIam: true } })).toEqual([]);
    const [found] = findings({ role: { ...sound.role!, hasRdsIam: false } }).filter(
      ({ verdict }) => verdict === 'problem',
    );
    expect(found?.text).toContain('lacks rds_iam');
    expect(found?.fix).toContain('GRANT rds_iam TO "millrace_capture";');
  });

  test('names a table that differs in capitals', () => {
    const [found] = findings({ tables: [{ ...realOrders, table: 'orders' }, heartbeat] }).filter(
      ({ verdict }) => verdict === 'problem',
    );
    expect(found?.fix).toContain('There is public.orders.');
  });

  test('says which declaration holds a scale beyond its precision, and takes that', () => {
    const columns = realOrders.columns.map((each) =>
      each.name === 'amount' ? { ...each, type: 'numeric(5,9)' } : each,
    );
    const checked = (amount: string) => {
      const table = defineTable({
        database,
        table: 'Orders',
        key: ['id'],
        columns: {
          id: 'bigint',
          amount,
          state: 'text',
          at: { type: 'timestamptz', nullable: false },
          tags: 'text[]',
        },
      });
      const facts = { ...sound, tables: [{ ...realOrders, columns }, heartbeat] };
      return checkSource(database, capturedTables([table]), facts, { role }).filter(
        ({ verdict }) => verdict === 'problem',
      );
    };
    expect(checked('numeric(9,2)')[0]?.fix).toBe('Declare it as numeric(9,9) in defineTable().');
    expect(checked('numeric(9,9)')).toEqual([]);
  });

  test('notes columns that nobody declared', () => {
    const columns = [...realOrders.columns, { name: 'more', type: 'text', isNullable: true }];
    const notes = findings({ tables: [{ ...realOrders, columns }, heartbeat] }).filter(
      ({ verdict }) => verdict === 'note',
    );
    expect(notes.map(({ text }) => text)).toEqual([
      'has columns that are not declared: more. They are archived as well',
    ]);
  });

  test('refuses a publication of all tables, and one without truncates', () => {
    expect(problems({ publication: { ...sound.publication!, isForAllTables: true } })[0]).toContain(
      'FOR ALL TABLES',
    );
    expect(
      problems({ publication: { ...sound.publication!, actions: ['insert', 'update', 'delete'] } }),
    ).toEqual(['publication millrace_shop does not publish truncate']);
  });

  test('refuses partitions under their own names only where there are partitions', () => {
    const publication = { ...sound.publication!, viaRoot: false };
    expect(problems({ publication })).toEqual([]);
    const partitioned = { ...realOrders, kind: 'p' };
    expect(problems({ publication, tables: [partitioned, heartbeat] })[0]).toContain(
      'publish_via_partition_root',
    );
  });

  test.each([
    ['lost', true, 0, 'is lost'],
    ['unreserved', true, 0, 'is about to be lost'],
    ['reserved', false, 3 * 1024 ** 3, 'nobody reads it, and it holds back 3072.0 MB of log'],
  ])('tells of a slot that is %s', (walStatus, isActive, retainedBytes, expected) => {
    const slot = { ...sound.slot!, walStatus, isActive, retainedBytes };
    expect(problems({ slot })[0]).toContain(`slot millrace_shop_1 ${expected}`);
  });
});

test('the SQL names what is declared, quoted, and one database only', () => {
  const other = defineTable({
    database: defineDatabase({ name: 'other' }),
    table: 'secret',
    key: ['id'],
    columns: { id: 'int' },
  });
  const sql = captureSql(database, [...tables, other], { role: 'o"brien' });
  expect(sql).toContain('GRANT SELECT ON "public"."Orders" TO "o""brien";');
  expect(sql).toContain('CREATE ROLE "o""brien" LOGIN REPLICATION;');
  expect(sql).not.toContain('secret');
  expect(sql).not.toContain('rds_iam');
  const onRds = captureSql(database, tables, { onRds: true });
  expect(onRds).toContain('GRANT rds_replication TO "millrace_capture";');
  expect(onRds).toContain('GRANT rds_iam TO "millrace_capture";');
});

import { expect, test } from '@jest/globals';
import { connectorConfiguration } from '../../../runtime/capture/connector.ts';
import { defineDatabase } from '../../../runtime/capture/database.ts';
import { snapshotSignal } from '../../../runtime/capture/signal.ts';
import { capturedTables, defineTable } from '../../../runtime/capture/table.ts';

const database = defineDatabase({ name: 'shop', epoch: 2 });
const orders = defineTable({
  database,
  table: 'orders',
  key: ['id'],
  columns: { id: 'bigint' },
  maxRecordBytes: 2_000_000,
});
const source = {
  host: 'db',
  port: 5_432,
  database: 'shop_production',
  user: 'capture',
  login: { 'database.sslmode': 'require' },
};

test('a connector captures its database’s tables, and drops what no topic is for', () => {
  const configuration = connectorConfiguration(database, capturedTables([orders]), source);
  expect(configuration).toMatchObject({
    'database.dbname': 'shop_production',
    'topic.prefix': 'shop',
    'slot.name': 'millrace_shop_2',
    'table.include.list': 'public[.]orders,millrace_capture[.]heartbeat',
    'transforms.epoch.value.literal': '2',
    'producer.override.max.request.size': '2065536',
    'database.sslmode': 'require',
  });
  const dropped = new RegExp(`^(?:${configuration['predicates.own.pattern']})$`);
  expect('__debezium-heartbeat.shop').toMatch(dropped);
  expect('shop.millrace_capture.signal').toMatch(dropped);
  expect('shop.millrace_capture.heartbeat').not.toMatch(dropped);
  expect(orders.topic.name).not.toMatch(dropped);
});

test('a signal asks for a table, and for a part of it', () => {
  expect(JSON.parse(snapshotSignal(orders, 'id-1').data)).toEqual({
    type: 'incremental',
    'data-collections': ['public.orders'],
  });
  expect(JSON.parse(snapshotSignal(orders, 'id-1', "state = 'new'").data)).toMatchObject({
    'additional-conditions': [{ 'data-collection': 'public.orders', filter: "state = 'new'" }],
  });
});

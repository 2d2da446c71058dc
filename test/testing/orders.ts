/** A shop's orders, with a field that its first version has not, and a consumer of them. */
import { defineTopic } from '../../runtime/contract/contract.ts';
import { defineConsumer } from '../../runtime/delivery/consumer.ts';

export interface Order {
  readonly id: string;
  readonly pieces: number;
  readonly note: string | null;
}

const FIELDS = [
  { name: 'id', type: 'string' },
  { name: 'pieces', type: 'int' },
] as const;
const NOTE = { name: 'note', type: ['null', 'string'], default: null } as const;

export const orders = defineTopic<Order>({
  name: 'shop.orders',
  owner: 'tests',
  key: 'id',
  partitions: 3,
  versions: [
    { version: 1, schema: { type: 'record', name: 'Order', fields: FIELDS } },
    { version: 2, schema: { type: 'record', name: 'Order', fields: [...FIELDS, NOTE] } },
  ],
});

const TABLES = `
  CREATE TABLE order_count (id text PRIMARY KEY, orders bigint NOT NULL, pieces bigint NOT NULL);
  CREATE TABLE order_line (at bigint GENERATED ALWAYS AS IDENTITY, id text, partition int, record_offset bigint);`;

export const ALL_COUNTS = 'SELECT id, orders, pieces FROM order_count ORDER BY id COLLATE "C"';

/** Adds up the pieces; fails what has none, and throws at what has fewer. */
export const orderCount = defineConsumer({
  name: 'order-count',
  topic: orders,
  sink: 'postgres',
  migrations: [{ name: '0001', sql: TABLES }],
  async handle(records, { tx, fail }) {
    for (const record of records) {
      const { id, pieces } = record.value;
      if (pieces < 0) throw new Error('fewer than none');
      if (pieces === 0) {
        fail(record, new Error('an order of nothing'));
        continue;
      }
      await tx.query(
        `INSERT INTO order_count AS t VALUES ($1, 1, $2)
        ON CONFLICT (id) DO UPDATE SET orders = t.orders + 1, pieces = t.pieces + excluded.pieces`,
        [id, pieces],
      );
      await tx.query('INSERT INTO order_line (id, partition, record_offset) VALUES ($1, $2, $3)', [
        id,
        record.partition,
        record.offset,
      ]);
    }
  },
});

export const order = (id: string, pieces = 1): Order => ({ id, pieces, note: null });

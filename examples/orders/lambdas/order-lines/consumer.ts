import { type ConsumerRecord, defineConsumer } from 'millrace';
import type { Order } from '../../contracts/shop.orders/schema.ts';
import { orders } from '../../contracts/shop.orders/topic.ts';
import { migrations } from './migrations.ts';

/**
 * Orders, their customers and, in a join table, their products. An order is replaced as a whole, and the newest change wins:
 * a late redrive of an older change does nothing, so overtaken letters may be applied. Six statements a batch, whatever its
 * size. Each table's rows are written in the order of their keys, so that batches of two partitions cannot deadlock on a
 * shared customer or product.
 */
export const orderLines = defineConsumer({
  name: 'order-lines',
  topic: orders,
  sink: 'postgres',
  migrations,
  onOvertaken: 'apply',
  async handle(records, { tx }) {
    const newest = [...newestByOrder(records).values()];
    await tx.query(
      `INSERT INTO customer AS old
       SELECT DISTINCT ON (customer_id) customer_id, country, to_timestamp(changed_at / 1000.0)
       FROM unnest($1::text[], $2::text[], $3::bigint[]) AS new (customer_id, country, changed_at)
       ORDER BY customer_id, changed_at DESC
       ON CONFLICT (customer_id) DO UPDATE SET country = excluded.country, changed_at = excluded.changed_at
       WHERE old.changed_at < excluded.changed_at`,
      [
        newest.map(({ customer }) => customer.customerId),
        newest.map(({ customer }) => customer.country),
        newest.map(({ changedAt }) => changedAt),
      ],
    );
    const changed = await tx.query(
      `INSERT INTO purchase AS old
       SELECT order_id, customer_id, to_timestamp(changed_at / 1000.0)
       FROM unnest($1::text[], $2::text[], $3::bigint[]) AS new (order_id, customer_id, changed_at)
       ORDER BY order_id
       ON CONFLICT (order_id) DO UPDATE SET customer_id = excluded.customer_id, changed_at = excluded.changed_at
       WHERE old.changed_at <= excluded.changed_at
       RETURNING order_id`,
      [
        newest.map(({ orderId }) => orderId),
        newest.map(({ customer }) => customer.customerId),
        newest.map(({ changedAt }) => changedAt),
      ],
    );
    const replaced = new Set(changed.rows.map(({ order_id }) => String(order_id)));
    const lines = newest
      .filter(({ orderId }) => replaced.has(orderId))
      .flatMap(({ orderId, lines }) => lines.map((line, index) => ({ ...line, orderId, line: index + 1 })));
    await tx.query('DELETE FROM order_line WHERE order_id = ANY ($1::text[])', [[...replaced]]);
    const products = [...new Set(lines.map(({ productId }) => productId))].sort();
    await tx.query('INSERT INTO product SELECT unnest($1::text[]) ON CONFLICT DO NOTHING', [products]);
    await tx.query(
      `INSERT INTO order_line (order_id, line, product_id, quantity, unit_cents)
       SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::int[], $5::bigint[])`,
      [
        lines.map(({ orderId }) => orderId),
        lines.map(({ line }) => line),
        lines.map(({ productId }) => productId),
        lines.map(({ quantity }) => quantity),
        lines.map(({ unitCents }) => unitCents),
      ],
    );
  },
});

/** A batch may hold several changes of an order. Records of one key come in order, so of two with one time the later one wins. */
function newestByOrder(records: readonly ConsumerRecord<Order>[]): ReadonlyMap<string, Order> {
  const newest = new Map<string, Order>();
  for (const { value } of records) {
    const before = newest.get(value.orderId);
    if (!before || before.changedAt <= value.changedAt) newest.set(value.orderId, value);
  }
  return newest;
}

/** Changes of orders as a shop sends them, and what is to come of them, one after another. */
import avsc from 'avsc';
import type { Random } from '../../runtime/ports.ts';
import type { OrderChange } from '../fixtures/order-history/contracts/shop.order-changes/schema.ts';
import { orderChanges } from '../fixtures/order-history/contracts/shop.order-changes/topic.ts';
import { readTopic } from './bare-kafka.ts';

const STATUSES = ['placed', 'paid', 'packed', 'sent', 'delivered'];
/** Of changes, so many are such as one of the handler's faults fails at. */
const FAILING = 0.003;
const TOO_MUCH_FOR_AN_INT = 3_000_000_000;
const SENT_TWICE = 0.01;
/** How far behind its first copy a second one may come. */
const MOST_LATE = 500;
/** A few orders change all the time. */
const BUSY_ORDERS = 5;
const BUSY = 0.02;

/** Unlike in a shop, one change in a hundred cannot be written down by a handler with faults. */
export function createOrderTraffic(random: Random, orders: number) {
  const recent: OrderChange[] = [];
  let made = 0;
  const below = (count: number) => Math.floor(random.next() * count);
  const order = () =>
    random.next() < BUSY ? `order-${below(BUSY_ORDERS)}` : `order-${BUSY_ORDERS + below(orders)}`;
  return {
    order,
    next(): OrderChange {
      if (recent.length > 0 && random.next() < SENT_TWICE) return recent[below(recent.length)]!;
      const chance = random.next();
      const status =
        chance < FAILING ? 'returned' : chance < 2 * FAILING ? 'lost' : STATUSES[below(STATUSES.length)]!;
      const cents = random.next() < FAILING ? TOO_MUCH_FOR_AN_INT : below(10_000);
      const change = { eventId: `event-${made++}`, orderId: order(), status, cents };
      recent.push(change);
      if (recent.length > MOST_LATE) recent.shift();
      return change;
    },
  };
}

/** Reads the topic with a bare client, and writes each order's history down record by record. */
export async function readInOrder(brokers: string[]) {
  const FRAME_BYTES = 18;
  const FRAME = 3;
  const type = avsc.Type.forSchema(orderChanges.latest.schema as never);
  const orders = new Map<string, { status: string; history: string; cents: number }>();
  const seen = new Set<string>();
  const counts = { records: 0, junk: 0, copies: 0 };
  const { records } = await readTopic(brokers, orderChanges.name);
  for await (const { value } of records) {
    counts.records++;
    if (value[0] !== FRAME) {
      counts.junk++;
      continue;
    }
    const { eventId, orderId, status, cents }: OrderChange = type.fromBuffer(value.subarray(FRAME_BYTES));
    if (seen.has(eventId)) {
      counts.copies++;
      continue;
    }
    seen.add(eventId);
    const order = orders.get(orderId) ?? { status, history: '', cents: 0 };
    order.status = status;
    order.history += `${eventId} ${status}\n`;
    order.cents += cents;
    orders.set(orderId, order);
  }
  return { ...counts, rows: [...orders].map(([order_id, order]) => rowText({ order_id, ...order })) };
}

export function rowText(row: {
  readonly order_id: string;
  readonly status: string;
  readonly history: string;
  readonly cents: number | string;
}): string {
  return `${row.order_id} is ${row.status} and costs ${row.cents} after ${row.history}`;
}

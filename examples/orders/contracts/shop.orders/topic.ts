import { defineTopic } from 'millrace';
import { type Order, versions } from './schema.ts';

export const orders = defineTopic<Order>({
  name: 'shop.orders',
  owner: 'checkout',
  key: 'orderId',
  partitions: 3,
  versions,
});

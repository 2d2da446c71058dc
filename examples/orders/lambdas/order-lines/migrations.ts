export const migrations = [
  {
    name: '0001-orders',
    sql: `
      CREATE TABLE customer (customer_id text PRIMARY KEY, country text NOT NULL, changed_at timestamptz NOT NULL);
      CREATE TABLE product (product_id text PRIMARY KEY);
      CREATE TABLE purchase (
        order_id text PRIMARY KEY,
        customer_id text NOT NULL REFERENCES customer,
        changed_at timestamptz NOT NULL
      );
      -- The join table: which products an order has, and how many of each.
      CREATE TABLE order_line (
        order_id text REFERENCES purchase,
        line int,
        product_id text NOT NULL REFERENCES product,
        quantity int NOT NULL,
        unit_cents bigint NOT NULL,
        PRIMARY KEY (order_id, line)
      );`,
  },
];

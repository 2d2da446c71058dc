import { defineConsumer } from 'millrace';
import { payments } from '../../contracts/bank.payments/topic.ts';

/**
 * The balance of each account. `+=` is safe without an idempotency table: the ledger commits with the balance, so a payment
 * that is delivered twice counts once.
 */
export const accountBalance = defineConsumer({
  name: 'account-balance',
  topic: payments,
  sink: 'postgres',
  // A sum is the same in any order.
  onOvertaken: 'apply',
  migrations: [
    {
      name: '0001-account-balance',
      sql: 'CREATE TABLE account_balance (account_id text PRIMARY KEY, cents bigint NOT NULL)',
    },
  ],
  async handle(records, { tx, fail }) {
    const booked = records.filter((record) => {
      if (record.value.cents !== 0) return true;
      // Powertools threw here, which failed the whole batch. This dead-letters one record.
      fail(record, new Error('A payment of nothing cannot be booked.'));
      return false;
    });
    await tx.query(
      `INSERT INTO account_balance AS balance
       SELECT account_id, sum(cents) FROM unnest($1::text[], $2::bigint[]) AS payment (account_id, cents)
       GROUP BY account_id ORDER BY account_id
       ON CONFLICT (account_id) DO UPDATE SET cents = balance.cents + excluded.cents`,
      [booked.map(({ value }) => value.accountId), booked.map(({ value }) => value.cents)],
    );
  },
});

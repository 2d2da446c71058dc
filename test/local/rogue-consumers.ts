/** Consumers that do what no handler should; a function's thread loads them. */
import { type AnyConsumer, defineConsumer } from '../../runtime/delivery/consumer.ts';
import { events } from '../runtime/events.ts';

type Handle = Parameters<typeof defineConsumer<{ id: string }, 'postgres'>>[0]['handle'];

const rogue = (name: string, handle: Handle) =>
  defineConsumer({
    name,
    topic: events,
    sink: 'postgres',
    memoryMb: 128,
    async handle(records, context) {
      await context.tx.query('INSERT INTO seen SELECT $1, unnest($2::text[])', [
        name,
        records.map(({ value }) => value.id),
      ]);
      if (records.some(({ offset }) => offset === 1)) await handle(records, context);
    },
  });

export const consumers: readonly AnyConsumer[] = [
  rogue('sound', async () => {}),
  rogue('loops', async () => {
    for (;;);
  }),
  rogue('exits', async () => process.exit(0)),
  rogue('hoards', async () => {
    const kept = [];
    for (let n = 0; ; n++) kept.push({ n });
  }),
  rogue('floats', async () => {
    void Promise.reject(new Error('a payload'));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }),
  rogue('asks-for-ever', async (_, { tx }) => {
    await tx.query('SELECT count(*) FROM generate_series(1, 100000000000)');
  }),
];

export default { contracts: [events], consumers };

/**
 * The process that the durability test kills: appends batches to the log without end, and prints the positions of
 * each batch, as one line of JSON, once `send` has resolved.
 */
import { writeSync } from 'node:fs';
import { openSqliteLog } from '../../../adapters/sqlite/sqlite-log.ts';
import { systemClock } from '../../../adapters/system/system-clock.ts';

const [path = '', sender = '', partitions = ''] = process.argv.slice(2);
const log = openSqliteLog({ path, clock: systemClock });
await log.createTopic('t', Number(partitions));
for (let batch = 0; ; batch++) {
  const records = Array.from({ length: 1 + (batch % 50) }, (_, index) => {
    const text = `${sender}/${batch}/${index}`;
    return { key: Buffer.from(text), value: Buffer.from(text) };
  });
  const positions = await log.send('t', records);
  const acknowledged = positions.map(({ partition, offset }, index) => [
    records[index]!.value.toString(),
    partition,
    offset,
  ]);
  writeSync(1, `${JSON.stringify(acknowledged)}\n`);
}

/**
 * Another process on the queue `q` of a file. It prints a line a message: `send` sends without end, and prints what
 * has been taken; `receive` receives until there is nothing left, and prints what it got.
 */
import { writeSync } from 'node:fs';
import { openSqliteQueues } from '../../../adapters/sqlite/sqlite-queue.ts';
import { systemClock } from '../../../adapters/system/system-clock.ts';

const [path = '', mode = ''] = process.argv.slice(2);
const queue = openSqliteQueues({ path, clock: systemClock }).queue('q');
const print = (bodies: readonly string[]) => writeSync(1, bodies.map((body) => `${body}\n`).join(''));
for (let batch = 0; ; batch++) {
  if (mode === 'send') {
    const bodies = Array.from({ length: 1 + (batch % 5) }, (_, index) => `${batch}/${index}`);
    await queue.send(bodies.map((body) => ({ body })));
    print(bodies);
  } else {
    const received = await queue.receive({ maxMessages: 3, visibilityMs: 600_000 });
    if (received.length === 0) break;
    print(received.map(({ body }) => body));
  }
}

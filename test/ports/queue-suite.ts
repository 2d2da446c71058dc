import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createFakeClock, type FakeClock } from '../../adapters/memory/fake-clock.ts';
import type { Clock, Queue } from '../../runtime/ports.ts';

/** What every queue must do. `open` gives an empty one each time. */
export function queueSuite(
  name: string,
  open: (clock: Clock) => { readonly queue: Queue; readonly dispose: () => void },
): void {
  describe(`${name} as a queue`, () => {
    let clock: FakeClock;
    let queue: Queue;
    let dispose: () => void;

    beforeEach(() => {
      clock = createFakeClock();
      ({ queue, dispose } = open(clock));
    });
    afterEach(() => dispose());

    const receive = (maxMessages = 10, visibilityMs = 1_000) => queue.receive({ maxMessages, visibilityMs });
    const bodies = (messages: readonly { readonly body: string }[]) => messages.map(({ body }) => body);

    test('gives what was sent, oldest first, whole, with the time it was sent', async () => {
      const texts = ['{"v":1}', '', 'é ☃ 🦊', 'x'.repeat(300_000)];
      await queue.send(texts.slice(0, 2));
      await clock.advance(5);
      await queue.send(texts.slice(2));
      const messages = await receive();
      expect(bodies(messages)).toEqual(texts);
      expect(messages.map(({ sentAt }) => clock.now() - sentAt)).toEqual([5, 5, 0, 0]);
      expect(new Set(messages.map(({ id }) => id)).size).toBe(4);
    });

    test('hides what was received, brings it back after its visibility timeout and counts', async () => {
      await queue.send(['a', 'b', 'c']);
      expect(bodies(await receive(2))).toEqual(['a', 'b']);
      expect(bodies(await receive(2))).toEqual(['c']);
      expect(await receive()).toEqual([]);
      await clock.advance(999);
      expect(await receive()).toEqual([]);
      await clock.advance(1);
      expect((await receive()).map(({ body, receiveCount }) => [body, receiveCount])).toEqual([
        ['a', 2],
        ['b', 2],
        ['c', 2],
      ]);
    });

    test('deletes for good, also after the visibility timeout where nobody received it since', async () => {
      await queue.send(['a', 'b']);
      const [a, b] = await receive();
      await queue.delete([a!.receipt]);
      await clock.advance(1_000);
      await queue.delete([b!.receipt]);
      expect(await receive()).toEqual([]);
      expect(await queue.depth()).toBe(0);
    });

    test('deletes nothing by a receipt that a later receive has replaced', async () => {
      await queue.send(['a']);
      const [first] = await receive();
      await clock.advance(1_000);
      const [second] = await receive();
      await queue.delete([first!.receipt]);
      expect(await queue.depth()).toBe(1);
      await queue.delete([second!.receipt, second!.receipt]);
      expect(await queue.depth()).toBe(0);
    });

    test('browses hidden messages too, in pages, and changes nothing', async () => {
      await queue.send(['a', 'b', 'c']);
      await receive(1);
      const page = await queue.browse({ limit: 2 });
      expect(page.map(({ body, receiveCount }) => [body, receiveCount])).toEqual([
        ['a', 1],
        ['b', 0],
      ]);
      expect(bodies(await queue.browse({ limit: 2, after: page[1]!.id }))).toEqual(['c']);
      expect(await queue.browse({ limit: 2, after: (await queue.browse({ limit: 3 }))[2]!.id })).toEqual([]);
      expect(bodies(await receive())).toEqual(['b', 'c']);
    });

    test('goes on behind a page whose last message was deleted, and never gives its id again', async () => {
      await queue.send(['a', 'b']);
      const last = (await queue.browse({ limit: 2 }))[1]!;
      await queue.delete((await receive()).map(({ receipt }) => receipt));
      await queue.send(['c']);
      expect(bodies(await queue.browse({ limit: 2, after: last.id }))).toEqual(['c']);
    });

    test('counts every message in its depth', async () => {
      expect(await queue.depth()).toBe(0);
      await queue.send(['a', 'b', 'c']);
      await receive(2);
      expect(await queue.depth()).toBe(3);
      await queue.send([]);
      expect(await queue.depth()).toBe(3);
    });
  });
}

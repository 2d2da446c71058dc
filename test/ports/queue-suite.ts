import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  MAX_MESSAGE_BYTES,
  type MessageMover,
  messageBytes,
  type OutgoingMessage,
  type Queue,
  type QueueMessage,
} from '../../runtime/dead-letters/queue.ts';
import { codeOf } from '../rejection.ts';

/** A queue with a redrive policy, and the queue that its policy names. */
export interface QueuePair {
  readonly redrive: Queue;
  readonly deadLetters: Queue;
  /** From the dead letters back to the redrive queue. */
  readonly mover: MessageMover;
  /** The other way round, which no queue allows. */
  readonly wrongWay: MessageMover;
}

/** What a server does otherwise than AWS documents it. Never an excuse for an adapter. */
export type ServerDeviation =
  | 'moves-from-any-queue'
  | 'moves-hidden-messages'
  | 'moved-messages-keep-their-id';

/** What the suite needs of a technology, and what the technology does not promise. */
export interface QueueFixture {
  /** An empty queue that nobody else uses. */
  openQueue(): Promise<Queue>;
  /** Two empty queues that nobody else uses. */
  openPair(policy: { readonly maxReceiveCount: number }): Promise<QueuePair>;
  now(): number;
  wait(ms: number): Promise<void>;
  /** The shortest time that a message can be hidden for. */
  readonly visibilityMs: number;
  /** More messages than a look asks for in one go. */
  readonly manyMessages: number;
  /** How often properties are tried. */
  readonly runs: number;
  /**
   * `exact`: receives give the oldest visible messages in order, as many as were asked for, and a look shows hidden
   * messages too, and changes nothing. `distributed`: any order, now and then fewer messages, and a look receives.
   */
  readonly promises: 'exact' | 'distributed';
  /** `xml`: bodies and attributes have characters of XML 1.0 only, and at least one of them. */
  readonly text: 'any' | 'xml';
  readonly deviations: readonly ServerDeviation[];
  dispose(): Promise<void>;
}

/** What every queue and every mover of messages must do. */
export function queueSuite(name: string, open: () => Promise<QueueFixture>, timeoutMs = 5_000): void {
  describe(`${name} as a queue`, () => {
    let fixture: QueueFixture;
    beforeAll(async () => {
      fixture = await open();
    });
    afterAll(() => fixture.dispose());

    const checked = (what: string, run: () => Promise<void>) => test(what, run, timeoutMs);

    /** Receives until `count` messages have come, or none come any more. */
    const receive = async (queue: Queue, count = 10, visibilityMs = 60_000): Promise<QueueMessage[]> => {
      const received: QueueMessage[] = [];
      const isDistributed = fixture.promises === 'distributed';
      for (let misses = 0; received.length < count && misses < (isDistributed ? 3 : 1); ) {
        const some = await queue.receive({ maxMessages: count - received.length, visibilityMs });
        received.push(...some);
        misses = some.length === 0 ? misses + 1 : 0;
      }
      return received;
    };
    const scan = (queue: Queue) => Array.fromAsync(queue.scan());
    /** In the order they came where that is promised, sorted where it is not. */
    const bodies = (messages: readonly { readonly body: string }[]) => {
      const all = messages.map(({ body }) => body);
      return fixture.promises === 'exact' ? all : all.toSorted();
    };
    const receipts = (messages: readonly QueueMessage[]) => messages.map(({ receipt }) => receipt);
    const named = (count: number, prefix = 'm'): OutgoingMessage[] =>
      Array.from({ length: count }, (_, index) => ({ body: `${prefix}${String(index).padStart(5, '0')}` }));
    /** Lets time pass until the promise has settled. */
    const settled = async <Result>(promise: Promise<Result>): Promise<Result> => {
      let isOver = false;
      const over = () => {
        isOver = true;
      };
      promise.then(over, over);
      while (!isOver) await fixture.wait(100);
      return promise;
    };

    describe('sending and receiving', () => {
      const isXml = (text: string) =>
        !/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u.test(text);
      const text = (maxLength: number) => {
        const awkward = fc.constantFrom(
          '<a href="&amp;">]]>',
          '{"a":"\\u0000\\"\n"}',
          'é ☃ 🦊',
          '%00&x=y',
          ' \t\r\n ',
        );
        const any = fc.oneof(awkward, fc.string({ unit: 'binary', maxLength }), fc.string({ maxLength }));
        // node:sqlite ends a text at U+0000; SQS refuses it, and JSON never has it as it is.
        return any.filter((each) =>
          fixture.text === 'any' ? !each.includes('\0') : each !== '' && isXml(each),
        );
      };
      const message = (): fc.Arbitrary<OutgoingMessage> =>
        fc.record(
          {
            body: text(200),
            attributes: fc.dictionary(fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,30}$/), text(60), {
              maxKeys: 9,
            }),
          },
          { requiredKeys: ['body'] },
        );

      checked('gives every message once, with body and attributes to the character', async () => {
        await fc.assert(
          fc.asyncProperty(fc.array(message(), { maxLength: 25 }), async (messages) => {
            const queue = await fixture.openQueue();
            await queue.send(messages);
            const received = await receive(queue, 30);
            const contents = (all: readonly OutgoingMessage[]) =>
              all.map(({ body, attributes = {} }) => ({ body, attributes: inNameOrder(attributes) }));
            const [got, expected] = [contents(received), contents(messages)];
            if (fixture.promises === 'exact') expect(got).toEqual(expected);
            else expect(sortedByText(got)).toEqual(sortedByText(expected));
            expect(new Set(received.map(({ id }) => id)).size).toBe(messages.length);
            expect(await queue.depth()).toBe(messages.length);
          }),
          { numRuns: fixture.runs },
        );
      });

      checked('takes 300 kB', async () => {
        const queue = await fixture.openQueue();
        const body = '☃'.repeat(100_000);
        await queue.send([{ body }]);
        const [message] = await receive(queue, 1);
        expect(message!.body === body).toBe(true);
      });

      checked('tells when a message was sent', async () => {
        const queue = await fixture.openQueue();
        await queue.send([{ body: 'a' }]);
        const sentAt = fixture.now();
        await fixture.wait(1_000);
        const [message] = await receive(queue, 1);
        // Another machine's clock may say something else than this one's.
        const toleranceMs = fixture.promises === 'exact' ? 0 : 30_000;
        expect(Math.abs(message!.sentAt - sentAt)).toBeLessThanOrEqual(toleranceMs);
      });

      checked('takes more messages than a request holds, and more bytes', async () => {
        const queue = await fixture.openQueue();
        const many = named(25);
        const large = ['a', 'b', 'c', 'd', 'e'].map((letter) => ({ body: letter.repeat(300_000) }));
        await queue.send([...many, ...large]);
        expect(bodies(await receive(queue, 40))).toEqual(bodies([...many, ...large]));
      });

      checked('takes nothing for no messages', async () => {
        const queue = await fixture.openQueue();
        await queue.send([]);
        expect(await queue.depth()).toBe(0);
      });

      checked(
        'counts attributes in the size, and sends nothing of what holds a message too large',
        async () => {
          const queue = await fixture.openQueue();
          const attributes = { stage: 'händle', empty: '-' };
          const room = MAX_MESSAGE_BYTES - messageBytes({ body: '', attributes });
          const largest = { body: 'x'.repeat(room), attributes };
          const tooLarge = { body: largest.body, attributes: { ...attributes, empty: '--' } };
          const alsoTooLarge = { body: '☃'.repeat(MAX_MESSAGE_BYTES / 3 + 1) };

          for (const refused of [tooLarge, alsoTooLarge]) {
            expect(await codeOf(queue.send([...named(12), refused]))).toBe('QUEUE_UNAVAILABLE');
          }
          expect(await queue.depth()).toBe(0);

          await queue.send([largest]);
          const [message] = await receive(queue, 1);
          expect(message!.body.length).toBe(room);
          expect(message!.attributes).toEqual(attributes);
        },
      );
    });

    describe('visibility', () => {
      checked('hides what was received, brings it back after its time and counts', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(3));
        const first = await receive(queue, 2, fixture.visibilityMs);
        const second = await receive(queue, 2, fixture.visibilityMs);
        expect(bodies([...first, ...second])).toEqual(bodies(named(3)));
        expect(await receive(queue, 10)).toEqual([]);
        await fixture.wait(fixture.visibilityMs);
        const again = await receive(queue);
        expect(bodies(again)).toEqual(bodies(named(3)));
        expect(again.map(({ receiveCount }) => receiveCount)).toEqual([2, 2, 2]);
        const byBody = (all: readonly QueueMessage[]) => new Map(all.map(({ body, id }) => [body, id]));
        expect(byBody(again)).toEqual(byBody([...first, ...second]));
      });

      checked('hides a message for the time that was asked for, not less', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(1));
        expect(await receive(queue, 1, 60_000)).toHaveLength(1);
        await fixture.wait(fixture.visibilityMs);
        expect(await receive(queue, 1)).toEqual([]);
      });

      checked('shows a message once a receive, even where it is not hidden at all', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(1));
        for (const receiveCount of [1, 2, 3]) {
          const received = await queue.receive({ maxMessages: 10, visibilityMs: 0 });
          expect(received.map((message) => message.receiveCount)).toEqual([receiveCount]);
        }
      });

      checked('hands no message to two receivers within its time', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(60));
        const receivers = Array.from({ length: 6 }, async (_, receiver) => {
          const own: QueueMessage[] = [];
          for (let misses = 0; misses < 3; ) {
            const some = await queue.receive({ maxMessages: 1 + receiver, visibilityMs: 60_000 });
            misses = some.length === 0 ? misses + 1 : 0;
            own.push(...some);
          }
          return own;
        });
        const received = (await Promise.all(receivers)).flat();
        expect(received.map(({ body }) => body).toSorted()).toEqual(named(60).map(({ body }) => body));
        expect(new Set(receipts(received)).size).toBe(60);
      });
    });

    describe('deleting and releasing', () => {
      checked('deletes for good, also after the time where nobody received it since', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(2));
        const [a, b] = await receive(queue, 2, fixture.visibilityMs);
        await queue.delete([a!.receipt]);
        await fixture.wait(fixture.visibilityMs);
        await queue.delete([b!.receipt]);
        expect(await receive(queue)).toEqual([]);
        expect(await queue.depth()).toBe(0);
      });

      checked('deletes by more receipts than a request holds, and leaves the others', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(25));
        const received = await receive(queue, 25);
        const [kept, ...deleted] = received;
        await queue.delete(receipts(deleted));
        expect(await queue.depth()).toBe(1);
        await queue.release([kept!.receipt]);
        expect(bodies(await receive(queue))).toEqual([kept!.body]);
      });

      checked('deletes nothing by a receipt that a later receive has replaced', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(1));
        const [first] = await receive(queue, 1, fixture.visibilityMs);
        await fixture.wait(fixture.visibilityMs);
        const [second] = await receive(queue, 1);
        await queue.delete([first!.receipt]);
        expect(await queue.depth()).toBe(1);
        await queue.delete([second!.receipt]);
        expect(await queue.depth()).toBe(0);
        await queue.delete([second!.receipt]);
      });

      checked('releases what was received, and counts on', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(12));
        const received = await receive(queue, 12);
        await queue.release(receipts(received));
        const again = await receive(queue, 12);
        expect(bodies(again)).toEqual(bodies(named(12)));
        expect(new Set(again.map(({ receiveCount }) => receiveCount))).toEqual(new Set([2]));
      });

      checked('releases nothing by a receipt that was replaced, or whose message is gone', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(2));
        const first = await receive(queue, 2, fixture.visibilityMs);
        await fixture.wait(fixture.visibilityMs);
        const [again] = await receive(queue, 1);
        const replaced = first.find(({ id }) => id === again!.id)!;
        await receive(queue, 1);
        await queue.release([replaced.receipt]);
        expect(await receive(queue)).toEqual([]);

        await queue.delete([again!.receipt]);
        await queue.release([again!.receipt]);
        expect(await receive(queue)).toEqual([]);
        expect(await queue.depth()).toBe(1);
      });
    });

    describe('looking', () => {
      checked('shows every message once, however many there are', async () => {
        const queue = await fixture.openQueue();
        const sent = named(fixture.manyMessages);
        await queue.send(sent);
        const shown = await scan(queue);
        expect(bodies(shown)).toEqual(bodies(sent));
        expect(new Set(shown.map(({ id }) => id)).size).toBe(sent.length);
      });

      checked('shows the message that a receive gives, under the same id', async () => {
        const queue = await fixture.openQueue();
        const attributes = { topic: 'news.pageviews' };
        await queue.send([{ body: 'a', attributes }]);
        const [shown] = await scan(queue);
        const [received] = await receive(queue, 1);
        expect(shown).toMatchObject({ id: received!.id, sentAt: received!.sentAt, body: 'a', attributes });
      });

      checked('leaves every message visible', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(12));
        expect(await scan(queue)).toHaveLength(12);
        expect(bodies(await receive(queue, 12))).toEqual(bodies(named(12)));
      });

      checked('leaves every message visible where it is ended early, by a break or an error', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(12));
        for await (const _ of queue.scan()) break;
        const failing = async () => {
          for await (const _ of queue.scan()) throw new Error('of the one who looks');
        };
        await expect(failing()).rejects.toThrow('of the one who looks');
        expect(bodies(await receive(queue, 12))).toEqual(bodies(named(12)));
      });

      checked('can be asked to delete what it shows, while it goes on and after', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(12));
        const later: QueueMessage[] = [];
        for await (const message of queue.scan()) {
          if (Number(message.body.slice(1)) % 2 === 0) await queue.delete([message.receipt]);
          else later.push(message);
        }
        expect(later).toHaveLength(6);
        await queue.delete(receipts(later.slice(1)));
        expect(await queue.depth()).toBe(1);
        expect(bodies(await receive(queue))).toEqual([later[0]!.body]);
      });

      checked('shows what somebody else is holding, or says nothing of it, by what is promised', async () => {
        const queue = await fixture.openQueue();
        await queue.send(named(3));
        const held = await receive(queue, 1);
        const shown = await scan(queue);
        const visible = named(3).filter(({ body }) => body !== held[0]!.body);
        expect(bodies(shown)).toEqual(bodies(fixture.promises === 'exact' ? named(3) : visible));
        // However one looks, the holder still has it.
        expect(bodies(await receive(queue))).toEqual(bodies(visible));
        await queue.delete(receipts(held));
        expect(await queue.depth()).toBe(2);
      });
    });

    checked('counts every message in its depth, hidden ones too', async () => {
      const queue = await fixture.openQueue();
      expect(await queue.depth()).toBe(0);
      await queue.send(named(3));
      await receive(queue, 2);
      expect(await queue.depth()).toBe(3);
    });

    describe('a redrive policy', () => {
      checked('takes a message away that was received as often as it allows', async () => {
        const { redrive, deadLetters } = await fixture.openPair({ maxReceiveCount: 3 });
        const message = { body: 'poison', attributes: { consumer: 'c' } };
        await redrive.send([message]);
        let last: QueueMessage | undefined;
        for (const receiveCount of [1, 2, 3]) {
          [last] = await receive(redrive, 1);
          expect(last).toMatchObject({ ...message, receiveCount });
          expect(await scan(deadLetters)).toEqual([]);
          await redrive.release([last!.receipt]);
        }
        expect(await receive(redrive)).toEqual([]);
        expect(await redrive.depth()).toBe(0);
        const [dead, ...others] = await receive(deadLetters);
        expect(others).toEqual([]);
        expect(dead).toMatchObject({ ...message, id: last!.id, sentAt: last!.sentAt });
        await deadLetters.delete([dead!.receipt]);
        expect(await deadLetters.depth()).toBe(0);
      });

      checked('goes by each message’s own count, and receives the others in the same go', async () => {
        const { redrive, deadLetters } = await fixture.openPair({ maxReceiveCount: 1 });
        await redrive.send(named(3, 'old'));
        await redrive.release(receipts(await receive(redrive, 3)));
        await redrive.send(named(3, 'young'));
        expect(bodies(await receive(redrive, 3))).toEqual(bodies(named(3, 'young')));
        expect(bodies(await receive(deadLetters))).toEqual(bodies(named(3, 'old')));
      });

      checked('does not take what was deleted in time', async () => {
        const { redrive, deadLetters } = await fixture.openPair({ maxReceiveCount: 1 });
        await redrive.send(named(1));
        await redrive.delete(receipts(await receive(redrive, 1, fixture.visibilityMs)));
        await fixture.wait(fixture.visibilityMs);
        expect(await receive(redrive)).toEqual([]);
        expect(await deadLetters.depth()).toBe(0);
      });
    });

    describe('a move', () => {
      checked('takes everything along as new messages', async () => {
        const { redrive, deadLetters, mover } = await fixture.openPair({ maxReceiveCount: 2 });
        const sent = named(12).map(({ body }) => ({ body, attributes: { of: `${body} é & <` } }));
        await deadLetters.send(sent);
        const before = await receive(deadLetters, 12);
        await deadLetters.release(receipts(before));
        const sentBefore = Math.max(...before.map(({ sentAt }) => sentAt));
        await fixture.wait(1_000);

        const progress: number[] = [];
        const move = mover.move({ maxPerSecond: 100, onProgress: (moved) => progress.push(moved) });
        expect(await settled(move)).toEqual({ moved: 12 });
        expect(progress.at(-1)).toBe(12);
        expect(progress).toEqual(progress.toSorted((a, b) => a - b));

        expect(await deadLetters.depth()).toBe(0);
        const moved = await receive(redrive, 12);
        expect(bodies(moved)).toEqual(bodies(sent));
        for (const message of moved) {
          expect(message.attributes).toEqual({ of: `${message.body} é & <` });
          expect(message.receiveCount).toBe(1);
          expect(message.sentAt).toBeGreaterThan(sentBefore);
        }
        const oldIds = new Set(before.map(({ id }) => id));
        const kept = moved.filter(({ id }) => oldIds.has(id));
        expect(kept).toHaveLength(fixture.deviations.includes('moved-messages-keep-their-id') ? 12 : 0);
        // Received once by now, so that the policy lets each be received once more.
        await redrive.release(receipts(moved));
        expect(await receive(redrive, 12)).toHaveLength(12);
      });

      checked('leaves behind what somebody is holding', async () => {
        const { redrive, deadLetters, mover } = await fixture.openPair({ maxReceiveCount: 2 });
        await deadLetters.send(named(3));
        const held = await receive(deadLetters, 1);
        const { moved } = await settled(mover.move({ maxPerSecond: 100 }));
        if (fixture.deviations.includes('moves-hidden-messages')) {
          expect(moved).toBe(3);
          return;
        }
        expect(moved).toBe(2);
        expect(bodies(await receive(redrive))).toEqual(
          bodies(named(3).filter(({ body }) => body !== held[0]!.body)),
        );
        await deadLetters.release(receipts(held));
        expect(bodies(await receive(deadLetters))).toEqual(bodies(held));
      });

      checked('is refused where the queue is no other queue’s dead-letter queue', async () => {
        const { redrive, deadLetters, wrongWay } = await fixture.openPair({ maxReceiveCount: 2 });
        await redrive.send(named(1));
        if (fixture.deviations.includes('moves-from-any-queue')) {
          expect(await settled(wrongWay.move({ maxPerSecond: 100 }))).toEqual({ moved: 1 });
          return;
        }
        expect(await codeOf(wrongWay.move({ maxPerSecond: 100 }))).toBe('INPUT_INVALID');
        expect(await redrive.depth()).toBe(1);
        expect(await deadLetters.depth()).toBe(0);
      });

      checked('is refused while another one is under way, and let in after it', async () => {
        const { redrive, deadLetters, mover } = await fixture.openPair({ maxReceiveCount: 2 });
        await deadLetters.send(named(3));
        const first = mover.move({ maxPerSecond: 1 });
        // The first is under way when the second is asked for: both set out from here in this order.
        const second = codeOf(fixture.wait(100).then(() => mover.move({ maxPerSecond: 1 })));
        expect(await settled(second)).toBe('INPUT_INVALID');
        expect(await settled(first)).toEqual({ moved: 3 });
        await deadLetters.send(named(2, 'late'));
        expect(await settled(mover.move({ maxPerSecond: 100 }))).toEqual({ moved: 2 });
        expect(bodies(await receive(redrive, 5))).toEqual(bodies([...named(3), ...named(2, 'late')]));
      });

      checked('of nothing is over at once', async () => {
        const { mover } = await fixture.openPair({ maxReceiveCount: 2 });
        expect(await settled(mover.move({ maxPerSecond: 1 }))).toEqual({ moved: 0 });
      });
    });
  });
}

/** What only a queue in one place promises: the order, and looks that change nothing. */
export function exactQueueSuite(name: string, open: () => Promise<QueueFixture>): void {
  describe(`${name} as a queue in one place`, () => {
    let fixture: QueueFixture;
    let queue: Queue;
    beforeAll(async () => {
      fixture = await open();
    });
    afterAll(() => fixture.dispose());

    const receive = (maxMessages = 10, visibilityMs = 1_000) => queue.receive({ maxMessages, visibilityMs });
    const send = (...texts: string[]) => queue.send(texts.map((body) => ({ body })));
    const scan = () => Array.fromAsync(queue.scan());
    const summary = (messages: readonly QueueMessage[]) =>
      messages.map(({ body, receiveCount }) => [body, receiveCount]);

    test('finds one message by its id, hidden or not, and none that is gone or another queue has', async () => {
      queue = await fixture.openQueue();
      await send('a', 'b');
      const [{ id }] = (await scan()) as [QueueMessage];
      expect(await queue.find?.(id)).toMatchObject({ id, body: 'a' });
      const [received] = await receive(1);
      expect(await queue.find?.(id)).toMatchObject({ id, body: 'a' });
      expect(await (await fixture.openQueue()).find?.(id)).toBeUndefined();
      await queue.delete([received!.receipt]);
      expect(await queue.find?.(id)).toBeUndefined();
      expect(await queue.find?.('no id')).toBeUndefined();
    });

    test('gives the oldest first, to the millisecond of their visibility', async () => {
      queue = await fixture.openQueue();
      await send('a', 'b', 'c');
      expect(summary(await receive(2))).toEqual([
        ['a', 1],
        ['b', 1],
      ]);
      expect(summary(await receive(2, 5_000))).toEqual([['c', 1]]);
      await fixture.wait(999);
      expect(await receive()).toEqual([]);
      await fixture.wait(1);
      expect(summary(await receive())).toEqual([
        ['a', 2],
        ['b', 2],
      ]);
    });

    test('changes nothing by a scan: no count, no receipt, no time', async () => {
      queue = await fixture.openQueue();
      await send('a', 'b');
      const [a] = await receive(1);
      for (let looks = 0; looks < 3; looks++) {
        expect(summary(await scan())).toEqual([
          ['a', 1],
          ['b', 0],
        ]);
      }
      expect(summary(await receive())).toEqual([['b', 1]]);
      await queue.delete([a!.receipt]);
      expect(summary(await scan())).toEqual([['b', 1]]);
    });

    test('looks at what was there when the look began, whatever happens meanwhile', async () => {
      queue = await fixture.openQueue();
      await send('a', 'b', 'c');
      const seen: string[] = [];
      for await (const { body } of queue.scan()) {
        if (seen.length === 0) await queue.send([{ body: 'late' }]);
        seen.push(body);
      }
      expect(seen).toEqual(['a', 'b', 'c']);
    });

    test('looks past a page whose last message is deleted meanwhile', async () => {
      queue = await fixture.openQueue();
      const many = Array.from({ length: fixture.manyMessages }, (_, index) => `${index}`);
      await send(...many);
      const seen: string[] = [];
      for await (const { body, receipt } of queue.scan()) {
        seen.push(body);
        await queue.delete([receipt]);
      }
      expect(seen).toEqual(many);
      expect(await queue.depth()).toBe(0);
    });

    test('never gives an id again', async () => {
      queue = await fixture.openQueue();
      const ids: string[] = [];
      for (let round = 0; round < 3; round++) {
        await send('a', 'b');
        const messages = await receive();
        ids.push(...messages.map(({ id }) => id));
        await queue.delete(messages.map(({ receipt }) => receipt));
      }
      expect(new Set(ids).size).toBe(6);
    });

    test('begins to count anew where the redrive policy takes a message', async () => {
      const pair = await fixture.openPair({ maxReceiveCount: 1 });
      await pair.redrive.send([{ body: 'a' }]);
      await pair.redrive.receive({ maxMessages: 1, visibilityMs: 0 });
      expect(await pair.redrive.receive({ maxMessages: 1, visibilityMs: 0 })).toEqual([]);
      queue = pair.deadLetters;
      expect(summary(await scan())).toEqual([['a', 0]]);
      expect(summary(await receive())).toEqual([['a', 1]]);
    });

    test('moves at the pace that was asked for, and leaves what came after the beginning', async () => {
      const { redrive, deadLetters, mover } = await fixture.openPair({ maxReceiveCount: 2 });
      await deadLetters.send([{ body: 'a' }, { body: 'b' }, { body: 'c' }]);
      const progress: number[] = [];
      const move = mover.move({ maxPerSecond: 2, onProgress: (moved) => progress.push(moved) });
      await fixture.wait(0);
      expect(progress).toEqual([1]);
      await deadLetters.send([{ body: 'late' }]);
      await fixture.wait(499);
      expect(progress).toEqual([1]);
      await fixture.wait(1);
      expect(progress).toEqual([1, 2]);
      await fixture.wait(500);
      expect(progress).toEqual([1, 2, 3]);
      await fixture.wait(500);
      expect(await move).toEqual({ moved: 3 });
      expect(await redrive.depth()).toBe(3);
      expect(await deadLetters.depth()).toBe(1);
    });
  });
}

/** Queues may give attributes in any order. */
function inNameOrder(attributes: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function sortedByText<Item>(items: readonly Item[]): Item[] {
  return items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

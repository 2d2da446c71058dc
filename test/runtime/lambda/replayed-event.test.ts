import { expect, test } from '@jest/globals';
import type { Replay } from '../../../runtime/delivery/ledger.ts';
import { encodeKafkaEvent, replayOf } from '../../../runtime/lambda/kafka-event.ts';

test('an event of Lambda replays nothing, and one of ours says what it replays', () => {
  expect(replayOf(encodeKafkaEvent([]))).toBeUndefined();
  const replay: Replay = { id: 'r1', kind: 'gaps' };
  expect(replayOf(JSON.parse(JSON.stringify(encodeKafkaEvent([], replay))))).toEqual(replay);
});

test.each([
  ['null', null],
  ['a text', 'gaps'],
  ['an unknown kind', { id: 'r1', kind: 'again' }],
  ['no id', { kind: 'gaps' }],
] as [string, unknown][])('%s is refused: effects would be had twice', (_, millraceReplay) => {
  const event = { ...encodeKafkaEvent([]), millraceReplay: millraceReplay as Replay };
  expect(() => replayOf(event)).toThrow(expect.objectContaining({ code: 'EVENT_MALFORMED' }));
});

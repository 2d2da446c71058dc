import { describe, expect, test } from '@jest/globals';
import { NO_HISTORY } from '../../../runtime/delivery/dead-letter.ts';
import { type Item, newItem } from '../../../runtime/delivery/item.ts';
import { createPatience, type Patience } from '../../../runtime/delivery/patience.ts';
import { eventRecord } from '../events.ts';

/** The record as it comes with a new delivery. */
const delivered = (offset: number): Item => newItem(eventRecord(0, offset), NO_HISTORY);

/** The record has used up its time on its own; gives whether it is to blame. */
function isToBlame(patience: Patience, item: Item): boolean {
  patience.timedOut([item]);
  patience.timedOutAlone(item);
  return patience.othersGoThrough(item);
}

describe('a record that uses up its time', () => {
  test('is to blame once others have gone through, and not before', () => {
    const patience = createPatience();
    const slow = delivered(0);
    patience.wentThrough();
    expect(isToBlame(patience, slow)).toBe(false);
    expect(isToBlame(patience, slow)).toBe(false);
    patience.wentThrough();
    expect(isToBlame(patience, slow)).toBe(true);
  });

  test('is still to blame when it is delivered again: what went through since its first time counts', () => {
    const patience = createPatience();
    expect(isToBlame(patience, delivered(0))).toBe(false);
    patience.wentThrough();
    expect(isToBlame(patience, delivered(0))).toBe(true);
  });

  test('is not to blame where another was slow as well since others went through', () => {
    const patience = createPatience();
    const [first, second] = [delivered(0), delivered(1)];
    patience.timedOut([first, second]);
    patience.wentThrough();
    expect(isToBlame(patience, first)).toBe(true);
    expect(isToBlame(patience, second)).toBe(false);
    patience.wentThrough();
    expect(isToBlame(patience, second)).toBe(true);
  });

  test('is forgotten behind a thousand others', () => {
    const patience = createPatience();
    for (let offset = 0; offset <= 1_000; offset++) isToBlame(patience, delivered(offset));
    patience.wentThrough();
    expect(isToBlame(patience, delivered(0))).toBe(false);
    patience.wentThrough();
    expect(isToBlame(patience, delivered(1_000))).toBe(true);
  });
});

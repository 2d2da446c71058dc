import { expect, test } from '@jest/globals';
import { timestampText } from '../../runtime/record.ts';

test.each([
  [-1, 'none'],
  [0, '1970-01-01T00:00:00.000Z'],
  [-62_135_596_800_000, '0001-01-01T00:00:00.000Z'],
  [1_764_000_000_000_000, '+057868-12-07T16:00:00.000Z'],
  [8_640_000_000_000_001, '8640000000000001'],
  [1_764_000_000_000_000_000, 'about 1764000000000000000'],
  [2 ** 63, 'about 9223372036854776000'],
  [-(2 ** 63), 'about -9223372036854776000'],
])('a timestamp of %d is shown as %s', (timestamp, text) => {
  expect(timestampText(timestamp)).toBe(text);
});

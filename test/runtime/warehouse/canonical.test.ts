import { describe, expect, test } from '@jest/globals';
import { parseColumnType } from '../../../runtime/capture/column-type.ts';
import { canonicalText } from '../../../runtime/warehouse/canonical.ts';

const canonical = (type: string, text: string | null) => canonicalText(parseColumnType(type)!, text);

describe('canonicalText', () => {
  test.each([
    ['numeric(38,9)', '1.500000000', '1.5'],
    ['numeric', '100', '100.00'],
    ['double precision', '1e+22', '1e22'],
    ['double precision', 'NaN', 'nan'],
    ['double precision', '-Infinity', '-inf'],
    ['boolean', 'TRUE', 'true'],
    ['date', '0044-03-15 BC', '0044-03-15 (BC)'],
    ['timestamp', '2026-10-25 01:30:00.120000', '2026-10-25T01:30:00.12'],
    ['timestamptz', '2026-10-25 00:30:00+00', '2026-10-25T00:30:00.000Z'],
    ['time', '01:30:00.500000', '01:30:00.5'],
    ['interval', 'P1Y2M3DT4H5M6.78S', 'P1Y2M3DT4H5M6.780000S'],
    ['interval', 'P1D', 'P0Y0M1DT0H0M0S'],
    ['jsonb', '{"b": [1, 2.50], "a": null}', '{"a":null,"b":[1,2.5]}'],
    ['text[]', '["a", null]', '["a",null]'],
    ['bigint[]', '[9007199254740993]', '["9007199254740993"]'],
    ['char(4)', 'ab  ', 'ab'],
  ])('%s: %j and %j are one value', (type, a, b) => {
    expect(canonical(type, a)).toBe(canonical(type, b));
  });

  test.each([
    ['bigint', '9007199254740993', '9007199254740992'],
    ['numeric(38,9)', '12345678901234567890.123456789', '12345678901234567890.123456788'],
    ['numeric', '100', '10'],
    ['jsonb', '{"a": 9007199254740993}', '{"a": 9007199254740992}'],
    ['jsonb', '{"a": "1"}', '{"a": 1}'],
    ['text', 'a', 'a '],
    ['timestamp', '2026-10-25 01:30:00', '2026-10-25 01:30:00.000001'],
    ['interval', 'P1D', 'P1M'],
    ['text[]', '["null"]', '[null]'],
  ])('%s: %j and %j are two', (type, a, b) => {
    expect(canonical(type, a)).not.toBe(canonical(type, b));
  });

  test('null stays null', () => {
    expect(canonical('jsonb', null)).toBeNull();
  });
});

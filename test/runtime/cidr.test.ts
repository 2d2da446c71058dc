import { expect, test } from '@jest/globals';
import { defaultCidr, isPrivate, overlap, parseCidr } from '../../runtime/cidr.ts';

const range = (text: string) => parseCidr(text)!;

test('a range is its first and its last address', () => {
  expect(parseCidr('10.0.0.0/16')).toEqual({ first: 167_772_160, last: 167_837_695, prefixLength: 16 });
  expect(parseCidr('0.0.0.0/0')).toMatchObject({ first: 0, last: 2 ** 32 - 1 });
});

test.each([
  '',
  '10.0.0.0',
  '10.0.0/8',
  '10.0.0.0/33',
  '10.0.256.0/24',
  '10.0.1.0/16',
  ' 10.0.0.0/16',
  '::/0',
])('%j is no range', (text) => {
  expect(parseCidr(text)).toBeUndefined();
});

test('ranges overlap when they share an address', () => {
  expect(overlap(range('10.0.0.0/16'), range('10.0.255.0/24'))).toBe(true);
  expect(overlap(range('10.0.255.0/24'), range('10.0.0.0/16'))).toBe(true);
  expect(overlap(range('10.0.0.0/16'), range('10.1.0.0/16'))).toBe(false);
});

test.each([
  ['10.255.255.255/32', true],
  ['172.31.0.0/16', true],
  ['172.32.0.0/16', false],
  ['192.168.0.0/15', false],
  ['0.0.0.0/0', false],
])('%s is private: %s', (text, expected) => {
  expect(isPrivate(range(text))).toBe(expected);
});

test('an environment keeps its addresses from release to release', () => {
  expect(['dev', 'staging', 'prod'].map(defaultCidr)).toEqual([
    '10.252.0.0/16',
    '10.102.0.0/16',
    '10.180.0.0/16',
  ]);
});

test('every name has a private /16, none below 10.64', () => {
  for (let index = 0; index < 1_000; index++) {
    const own = range(defaultCidr(`environment-${index}`));
    expect([own.prefixLength, isPrivate(own), overlap(own, range('10.0.0.0/10'))]).toEqual([16, true, false]);
  }
});

import { expect, test } from '@jest/globals';
import { defineTopic } from '../../../runtime/contract/contract.ts';
import { checkCondition, meets, parseCondition } from '../../../runtime/replay/conditions.ts';
import { codeOf } from '../../rejection.ts';

const topic = defineTopic<{ readonly id: string }>({
  name: 'shop.orders',
  owner: 'tests',
  key: 'id',
  versions: [
    {
      version: 1,
      schema: {
        type: 'record',
        name: 'Order',
        fields: [
          { name: 'id', type: 'string' },
          { name: 'total', type: ['null', 'double'] },
          {
            name: 'address',
            type: ['null', { type: 'record', name: 'Address', fields: [{ name: 'city', type: 'string' }] }],
          },
          {
            name: 'lines',
            type: {
              type: 'array',
              items: { type: 'record', name: 'Line', fields: [{ name: 'sku', type: 'string' }] },
            },
          },
          { name: 'labels', type: { type: 'map', values: 'string' } },
        ],
      },
    },
  ],
});

const condition = (text: string) => parseCondition(text)!;

test.each(['id=a', 'address.city=Oslo', 'lines.sku=x', 'labels.anything=x', 'total=null'])(
  'the contract has what %s asks for',
  (text) => {
    expect(() => checkCondition(condition(text), topic)).not.toThrow();
  },
);

test.each([
  ['idd=a', 'no field "idd". Did you mean "id"?'],
  ['address.town=a', 'shop.orders\'s address has no field "town"'],
  ['id.more=a', 'shop.orders\'s id has no field "more". It has no fields.'],
])('%s is refused with the closest name', async (text, message) => {
  const check = async () => checkCondition(condition(text), topic);
  await expect(check()).rejects.toThrow(message);
  expect(await codeOf(check())).toBe('INPUT_INVALID');
});

test.each(['', 'id', '=a', 'a..b=c', '1a=b'])('%j is no condition', (text) => {
  expect(parseCondition(text)).toBeUndefined();
});

test('a value may hold "=" and lines', () => {
  expect(parseCondition('id=a=b\nc')).toEqual({ path: ['id'], value: 'a=b\nc' });
});

test('values are compared as a person writes them, in nested fields, arrays and wrapped unions', () => {
  const value = {
    id: 'a',
    total: 12.5,
    big: 9_007_199_254_740_993n,
    none: null,
    when: new Date(0),
    address: { city: 'Oslo' },
    lines: [{ sku: 'x' }, { sku: 'y' }],
    wrapped: { Second: { deep: 1 } },
    bytes: Buffer.from([0xab]),
  };
  const isMet = (text: string) => meets(value, condition(text));
  expect(
    [
      'id=a',
      'total=12.5',
      'big=9007199254740993',
      'none=null',
      'when=1970-01-01T00:00:00.000Z',
      'address.city=Oslo',
      'lines.sku=y',
      'wrapped.deep=1',
      'bytes=ab',
    ].filter((text) => !isMet(text)),
  ).toEqual([]);
  expect(
    ['id=A', 'address.city=Os', 'lines.sku=z', 'gone=1', 'address=Oslo ', 'id.a=a'].filter(isMet),
  ).toEqual([]);
});

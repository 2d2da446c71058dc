import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { addEnvironment, addToList, compareSpecifiers, wordsOf } from '../../../cli/add/edit-config.ts';

const payments = { identifier: 'payments', specifier: './contracts/shop.payments/topic.ts' };
const config = (contracts: string, before = '') => `import { defineApp } from 'millrace';
import { orders } from './contracts/shop.orders/topic.ts';
${before}
export default defineApp({
  name: 'shop',
  contracts: ${contracts},
  consumers: [],
  environments: {},
});
`;
const added = (text: string) =>
  text.replace(
    "topic.ts';\n",
    "topic.ts';\nimport { payments } from './contracts/shop.payments/topic.ts';\n",
  );

describe('a list', () => {
  test.each([
    ['empty', '[]', '[payments]'],
    ['on one line', '[orders]', '[orders, payments]'],
    ['with a comma at its end', '[orders,]', '[orders, payments]'],
    ['with a spread', '[...others, orders]', '[...others, orders, payments]'],
    ['with a call', "[pick('a,b'), orders]", "[pick('a,b'), orders, payments]"],
    ['as const', '[orders] as const', '[orders, payments] as const'],
    ['on several lines', '[\n    orders,\n  ]', '[\n    orders,\n    payments,\n  ]'],
    ['without the last comma', '[\n    orders\n  ]', '[\n    orders,\n    payments,\n  ]'],
    [
      'with comments',
      '[\n    orders, // the first ]\n    /* [ more */\n  ]',
      '[\n    orders, // the first ]\n    /* [ more */\n    payments,\n  ]',
    ],
    [
      'that gets too long for a line',
      `[${'a'.repeat(45)}, ${'b'.repeat(45)}]`,
      `[\n    ${'a'.repeat(45)},\n    ${'b'.repeat(45)},\n    payments,\n  ]`,
    ],
  ])('%s gets its element at the end', (_, before, after) => {
    expect(addToList(config(before), 'contracts', payments)).toBe(added(config(after)));
  });

  test('keeps the line ends of Windows', () => {
    const windows = (text: string) => text.replaceAll('\n', '\r\n');
    expect(addToList(windows(config('[orders]')), 'contracts', payments)).toBe(
      windows(added(config('[orders, payments]'))),
    );
  });

  test('is found whatever strings, comments and regular expressions say', () => {
    const noise =
      "// contracts: [\nconst a = 'defineApp({ contracts: ['; /* defineApp({ */ const b = `}] {a}`; const c = /[\\]}'\"]/;\n";
    expect(addToList(config('[orders]', noise), 'contracts', payments)).toBe(
      added(config('[orders, payments]', noise)),
    );
  });
});

describe('a config of another shape is refused, with what to add by hand', () => {
  test.each([
    ['a list by another name', config('others'), /has no contracts: \[ … \]/],
    ['a shorthand', config('x').replace('contracts: x', 'contracts'), /has no contracts: \[ … \]/],
    ['a list that does not end', "import 'a';\nexport default defineApp({ contracts: [a", /has no contracts/],
    ['no call', 'export default {};\n', /has 0 calls of defineApp/],
    ['two calls', `${config('[]')}${config('[]')}`, /has 2 calls of defineApp/],
    ['an inner list alone', 'export default defineApp({ demo: { contracts: [] } });\n', /has no contracts/],
  ])('%s', (_, text, message) => {
    const adding = () => addToList(text, 'contracts', payments);
    expect(adding).toThrow(message);
    expect(adding).toThrow("import { payments } from './contracts/shop.payments/topic.ts'");
  });
});

test('an import goes to its place in the order, in the quotes of the others', () => {
  const text = `import { defineApp } from "millrace"\nimport { a } from "./a/topic.ts"\nimport { z } from "./z/topic.ts"\n
export default defineApp({ contracts: [a, z] })\n`;
  const { identifier } = payments;
  expect(addToList(text, 'contracts', { identifier, specifier: './m/topic.ts' })).toBe(
    text
      .replace('import { z }', 'import { payments } from "./m/topic.ts"\nimport { z }')
      .replace('[a, z]', '[a, z, payments]'),
  );
});

test('an environment goes to the end, under quotes where its name needs them', () => {
  const text = config('[]').replace('{},', '{\n    dev: {\n      a: 1,\n    },\n  },');
  expect(addEnvironment(text, 'eu-west', ['  a: 2,'])).toBe(
    text.replace('    },\n  },', "    },\n    'eu-west': {\n      a: 2,\n    },\n  },"),
  );
  expect(addEnvironment(config('[]'), 'dev', ['  a: 1,'])).toBe(
    config('[]').replace('environments: {}', 'environments: {\n    dev: {\n      a: 1,\n    },\n  }'),
  );
});

test('words are those of the code, not of strings and comments', () => {
  expect([...wordsOf("import { a as b } from 'c'; // d\n/* e */ f(`g`);")]).toEqual([
    'import',
    'a',
    'as',
    'b',
    'from',
    'f',
  ]);
});

test.each(['})', '))', '(]'])('a list with brackets that cross is left alone: [%s', (crossing) => {
  const text = `defineApp({ contracts: [${crossing}], consumers: [] });`;
  expect(() => addToList(text, 'contracts', payments)).toThrow(/has no contracts: \[ … \]/);
});

test('any text is refused, or gains two pieces and loses nothing', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      'defineApp({',
      'contracts: [',
      '],',
      '})',
      'orders',
      ',',
      "'",
      '"',
      '`',
      '//',
      '/*',
      '*/',
      '\n',
      '/',
      '[',
    ),
    fc.string({ maxLength: 4 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 25 }), (pieces) => {
      const text = `defineApp({ ${pieces.join('')} contracts: [ ${pieces.toReversed().join('')}`;
      let edited: string;
      try {
        edited = addToList(text, 'contracts', payments);
      } catch (error) {
        expect(error).toMatchObject({ code: 'APP_INVALID' });
        return;
      }
      const without = (some: string) =>
        some
          .replace(/import \{ payments \} from .*\n/, '')
          .replace('payments', '')
          .replaceAll(/[\s,;]/g, '');
      expect(without(edited)).toBe(without(text));
    }),
    { numRuns: 2_000 },
  );
});

test('specifiers sort the same whichever comes first', () => {
  const specifier = fc
    .tuple(fc.constantFrom('node:', '', './', '../', '../../'), fc.string({ minLength: 1, maxLength: 8 }))
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(specifier, specifier, (a, b) => {
      // Zero has two signs, and none of them matters.
      expect(Math.sign(compareSpecifiers(a, b)) + Math.sign(compareSpecifiers(b, a))).toBe(0);
      if (a !== b) expect(compareSpecifiers(a, b)).not.toBe(0);
    }),
  );
});

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { AvroSchema } from '../../runtime/avro/schema.ts';
import { type Contract, defineTopic } from '../../runtime/contract/contract.ts';
import { createFramer } from '../../runtime/contract/framing.ts';
import type { SchemaRegistrar, SchemaRegistry } from '../../runtime/contract/registry.ts';
import { codeOf } from '../rejection.ts';

type Framing = 'glue' | 'confluent';

const schema = (...names: string[]): AvroSchema => ({
  type: 'record',
  name: 'R',
  fields: names.map((name) => ({ name, type: 'string', default: '' })),
});

/** The same schemas, with the text of a file that spells a number otherwise than JavaScript. */
const inFiles = (contract: Contract<never>): Contract<never> => {
  const versions = contract.versions.map((version) => {
    const text = JSON.stringify({ ...(version.schema as object), rate: 0 }, null, 2);
    const definition = text.replace('"rate": 0', '"rate": 0.0');
    return { ...version, schema: JSON.parse(definition), definition };
  });
  return { ...contract, versions, latest: versions.at(-1)! };
};

/** As Millrace registered them before versions had a text. */
const withoutTexts = (contract: Contract<never>): Contract<never> => {
  const versions = contract.versions.map(({ version, schema }) => ({ version, schema }));
  return { ...contract, versions, latest: versions.at(-1)! };
};

const topicOf = (framing: Framing, name: string, ...schemas: readonly AvroSchema[]) =>
  defineTopic<{ a: string }>({
    name,
    owner: 'tests',
    key: 'a',
    framing,
    versions: schemas.map((of, index) => ({ version: index + 1, schema: of })),
  });

/** What every schema registry must do. `open` gives one that holds all versions of the contracts, and no more. */
export function schemaRegistrySuite(
  name: string,
  framing: Framing,
  open: (contracts: readonly Contract<never>[]) => Promise<{
    readonly registry: SchemaRegistry;
    readonly dispose: () => void;
  }>,
): void {
  describe(`${name} as a schema registry (${framing})`, () => {
    let dispose = () => {};
    afterEach(() => dispose());

    const topic = (topicName: string, ...schemas: readonly AvroSchema[]) =>
      topicOf(framing, topicName, ...schemas);
    const orders = topic('orders', schema('a'), schema('a', 'b'));
    const refunds = topic('refunds', schema('a', 'c'));

    async function openWith(...contracts: readonly Contract<never>[]): Promise<SchemaRegistry> {
      const opened = await open(contracts);
      dispose = opened.dispose;
      return opened.registry;
    }

    test("gives the newest version's schema under the id that it gives for the contract", async () => {
      const registry = await openWith(orders, refunds);
      for (const contract of [orders, refunds]) {
        expect(await registry.schemaById(await registry.latestId(contract))).toEqual(contract.latest.schema);
      }
    });

    test("gives ids that fit the contract's framing, and the same one each time", async () => {
      const registry = await openWith(orders);
      const id = await registry.latestId(orders);
      expect(() => createFramer(framing, 'none', id)).not.toThrow();
      expect(await registry.latestId(orders)).toBe(id);
    });

    test('gives another id for another schema', async () => {
      const registry = await openWith(orders, refunds);
      expect(await registry.latestId(orders)).not.toBe(await registry.latestId(refunds));
    });

    test.each(['00000000-0000-4000-8000-000000000000', '2147483647', 'no id'])(
      'knows no schema %s',
      async (id) => {
        expect(await (await openWith(orders)).schemaById(id)).toBeUndefined();
      },
    );

    test('says so when a contract, or its newest version, is not registered', async () => {
      const registry = await openWith(orders);
      expect(await codeOf(registry.latestId(refunds))).toBe('SCHEMA_UNKNOWN');
      const newer = topic('orders', schema('a'), schema('a', 'b'), schema('a', 'b', 'c'));
      expect(await codeOf(registry.latestId(newer))).toBe('SCHEMA_UNKNOWN');
    });
  });
}

/** What every registry must do that versions can be put into. `open` gives one that holds nothing. */
export function schemaRegistrarSuite(
  name: string,
  framing: Framing,
  open: () => Promise<{ readonly registrar: SchemaRegistrar; readonly dispose: () => void }>,
): void {
  describe(`${name} as a schema registrar (${framing})`, () => {
    let registrar: SchemaRegistrar;
    let dispose: () => void;
    beforeEach(async () => {
      ({ registrar, dispose } = await open());
    });
    afterEach(() => dispose());

    const [v1, v2] = [schema('a'), schema('a', 'b')];

    test('registers every version, and gives their ids in order', async () => {
      const orders = topicOf(framing, 'orders', v1, v2);
      const ids = await registrar.register(orders);
      expect(await Promise.all(ids.map((id) => registrar.schemaById(id)))).toEqual([v1, v2]);
      expect(await registrar.latestId(orders)).toBe(ids[1]);
    });

    test('gives the same ids when all is registered, and registers only what is new', async () => {
      const [first] = await registrar.register(topicOf(framing, 'orders', v1));
      expect(await registrar.register(topicOf(framing, 'orders', v1))).toEqual([first]);
      const both = await registrar.register(topicOf(framing, 'orders', v1, v2));
      expect(both).toEqual([first, expect.not.stringMatching(first!)]);
    });

    test("is given the file's own text, and finds the version by it", async () => {
      const orders = inFiles(topicOf(framing, 'orders', v1, v2));
      const ids = await registrar.register(orders);
      expect(await registrar.latestId(orders)).toBe(ids[1]);
      expect(await registrar.register(orders)).toEqual(ids);
      // By JSON.stringify's text it is another definition.
      expect(await codeOf(registrar.latestId(withoutTexts(orders)))).toBe('SCHEMA_UNKNOWN');
    });

    test('finds a version that was registered without its text, and registers no second one', async () => {
      const orders = inFiles(topicOf(framing, 'orders', v1, v2));
      const ids = await registrar.register(withoutTexts(orders));
      expect(await registrar.latestId(orders)).toBe(ids[1]);
      expect(await registrar.register(orders)).toEqual(ids);
    });

    test('registers nothing when it is only asked', async () => {
      const orders = topicOf(framing, 'orders', v1);
      for (let attempt = 0; attempt < 2; attempt++) {
        expect(await codeOf(registrar.latestId(orders))).toBe('SCHEMA_UNKNOWN');
      }
    });
  });
}

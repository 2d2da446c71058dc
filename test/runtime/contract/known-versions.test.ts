import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type KnownVersion, withKnownVersions } from '../../../runtime/contract/known-versions.ts';
import type { SchemaRegistry } from '../../../runtime/contract/registry.ts';
import { readVersion, writeVersion } from '../../../runtime/deployment.ts';
import { pageviews } from '../../fixtures/newsdesk/contracts/news.pageviews/topic.ts';

const uuid = (digit: number) => `6b1f0e6c-6c0a-4b0e-8f5a-${String(digit).padStart(12, '0')}`;
const of = (version: number): KnownVersion => ({ topic: pageviews.name, version, id: uuid(version) });

/** A registry that knows one schema more, and counts what it is asked. */
function registryWith(known: readonly KnownVersion[]) {
  const asked: string[] = [];
  const registry: SchemaRegistry = {
    async schemaById(id) {
      asked.push(id);
      return id === uuid(9) ? { type: 'string' } : undefined;
    },
    async latestId({ name }) {
      asked.push(name);
      return uuid(8);
    },
  };
  return { asked, registry: withKnownVersions(registry, [pageviews], known) };
}

test('a known version is answered without a call, to readers and to writers', async () => {
  const { registry, asked } = registryWith([of(2), of(1)]);
  expect(await registry.schemaById(uuid(1))).toEqual(pageviews.versions[0]!.schema);
  expect(await registry.schemaById(uuid(2))).toEqual(pageviews.versions[1]!.schema);
  expect(await registry.latestId(pageviews)).toBe(uuid(2));
  expect(asked).toEqual([]);
});

test('every other id is asked for, whether the registry knows it or not', async () => {
  const { registry, asked } = registryWith([of(1)]);
  expect(await registry.schemaById(uuid(9))).toEqual({ type: 'string' });
  expect(await registry.schemaById(uuid(7))).toBeUndefined();
  // Version 2, which this code writes, was not known at deployment.
  expect(await registry.latestId(pageviews)).toBe(uuid(8));
  expect(asked).toEqual([uuid(9), uuid(7), pageviews.name]);
});

test('a version that this code does not have is asked for, as are those of other topics', async () => {
  const other = { ...of(4), topic: 'news.clicks', version: 1 };
  const { registry, asked } = registryWith([of(3), other]);
  expect(await registry.schemaById(uuid(3))).toBeUndefined();
  expect(await registry.schemaById(uuid(4))).toBeUndefined();
  expect(asked).toEqual([uuid(3), uuid(4)]);
});

test('what is written of a version is read again', () => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[a-zA-Z0-9._-]{1,249}$/),
      fc.integer({ min: 1, max: 100_000 }),
      fc.uuid(),
      (topic, version, id) => {
        expect(readVersion(writeVersion({ topic, version, id }))).toEqual({ topic, version, id });
      },
    ),
  );
  for (const text of ['', 'topic', `topic/x=${uuid(1)}`, 'topic/1=', `/1=${uuid(1)}`, '{{resolve:ssm:/x}}'])
    expect(readVersion(text)).toBeUndefined();
});

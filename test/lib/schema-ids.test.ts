/** The ids of schemas that functions are told when they are deployed. */
import { describe, expect, test } from '@jest/globals';
import type { Contract } from '../../runtime/contract/contract.ts';
import { readVersion } from '../../runtime/deployment.ts';
import { pageviews } from '../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import { consumerWith, resourcesOf, type SynthesisOptions, templatesOf } from './synthesized.ts';

const ID = '6b1f0e6c-6c0a-4b0e-8f5a-000000000000';

/** The parameters that the contracts stack leaves, by name: the versions, and the resources whose ids they have. */
function parametersOf(options: SynthesisOptions = {}, env = 'prod') {
  const parameters = resourcesOf({ contracts: templatesOf(env, options).contracts! }).filter(
    ({ Type }) => Type === 'AWS::SSM::Parameter',
  );
  return Object.fromEntries(
    parameters.map(({ Properties: { Name, Value } }) => {
      const ids: string[] = [];
      const text = Value['Fn::Join'][1]
        .map((part: string | { 'Fn::GetAtt': string[] }) => {
          if (typeof part === 'string') return part;
          ids.push(part['Fn::GetAtt'].join('.').replace(/[0-9A-F]{8}/, ''));
          return ID;
        })
        .join('');
      return [Name, { text, ids, versions: text.split(',').map(readVersion) }];
    }),
  );
}

function settingsOf(part: string, options?: SynthesisOptions): Readonly<Record<string, unknown>> {
  const fn = resourcesOf({ part: templatesOf('prod', options)[part]! }).find(
    ({ Type, Properties }) =>
      Type === 'AWS::Lambda::Function' && Properties.Environment?.Variables.MILLRACE_REGISTRY_NAME,
  );
  return fn!.Properties.Environment.Variables;
}

/** With so many versions; only their numbers matter here. */
const grown = (count: number, name = pageviews.name) => {
  const versions = Array.from({ length: count }, (_, index) => ({
    version: index + 1,
    schema: pageviews.latest.schema,
  }));
  return { ...pageviews, name, versions, latest: versions.at(-1)! } as Contract<never>;
};

test('a consumer is told all versions of its topic, the collector the newest of each of its topics', () => {
  expect(settingsOf('consumer-editorial-analytics').MILLRACE_SCHEMA_IDS).toBe(
    '2;{{resolve:ssm:/millrace/prod/schemas/news.pageviews}}',
  );
  expect(settingsOf('collector').MILLRACE_SCHEMA_IDS).toBe(
    '2;{{resolve:ssm:/millrace/prod/collected-schemas}}',
  );
  const version = (number: number) => ({ topic: 'news.pageviews', version: number, id: ID });
  expect(parametersOf()).toMatchObject({
    '/millrace/prod/schemas/news.pageviews': {
      versions: [version(2), version(1)],
      ids: ['Schemanewspageviewsv2.VersionId', 'Schemanewspageviews.InitialSchemaVersionId'],
    },
    '/millrace/prod/collected-schemas': {
      versions: [version(2)],
      ids: ['Schemanewspageviewsv2.VersionId'],
    },
  });
});

test('a new version changes the setting of those who are told, so that CloudFormation reads the parameter again', () => {
  const setting = (contracts: readonly Contract<never>[], part: string) => {
    const consumers = [consumerWith({ topic: contracts[0] as never })];
    return settingsOf(part, { contracts, collected: contracts, consumers }).MILLRACE_SCHEMA_IDS;
  };
  const [one, other] = [grown(3), grown(12, 'news.clicks')];
  expect(setting([one, other], 'consumer-editorial-analytics')).toMatch(/^3;/);
  expect(setting([one, other], 'collector')).toMatch(/^3\.12;/);
  expect(setting([one, grown(13, 'news.clicks')], 'collector')).toMatch(/^3\.13;/);
});

test('a topic that no consumer reads has no parameter', () => {
  expect(Object.keys(parametersOf({ consumers: [], collected: [] }, 'dev'))).toEqual([]);
});

test('no version is exported: an export in use could not change', () => {
  const { Outputs } = templatesOf('prod').contracts!.toJSON();
  expect(Object.keys(Outputs)).toEqual(['BootstrapBrokers', 'RegistryName']);
});

describe('there is room for the newest', () => {
  const versionsIn = (contract: Contract<never>) => {
    const options = { contracts: [contract], consumers: [consumerWith({ topic: contract as never })] };
    return parametersOf(options)[`/millrace/prod/schemas/${contract.name}`]!;
  };

  test.each([
    ['of a short name', 'a.b', 54],
    ['of a long name', 'x'.repeat(200), 9],
  ])('%s', (_, name, expected) => {
    const { text, versions } = versionsIn(grown(100, name));
    expect(versions.map((each: { version: number }) => each.version)).toEqual(
      Array.from({ length: expected }, (_, index) => 100 - index),
    );
    // With every other setting of a function, under the 4 KB that Lambda gives them all.
    expect(text.length).toBeLessThanOrEqual(2_400);
    const others = Object.entries(settingsOf('collector')).filter(([key]) => key !== 'MILLRACE_SCHEMA_IDS');
    // A token is an address of three brokers at most.
    const length = others.reduce(
      (sum, [key, value]) => sum + key.length + (typeof value === 'string' ? value.length : 300),
      0,
    );
    expect(length).toBeLessThan(1_500);
  });
});

/** A candidate beside an environment: what it adds, and that nothing else notices it. */
import { describe, expect, test } from '@jest/globals';
import type { Template } from 'aws-cdk-lib/assertions';
import { codeFingerprint } from '../../adapters/files/code-fingerprint.ts';
import { appIn } from '../../runtime/app-in-environment.ts';
import { stackParts } from '../../runtime/deployment.ts';
import { resolveEnvironment } from '../../runtime/environment.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { NEWSDESK } from '../newsdesk.ts';
import { consumerWith, resourcesOf, type SynthesisOptions, templatesOf } from './synthesized.ts';

const CONSUMER = 'editorial-analytics';
const CANDIDATE = `${CONSUMER}-g2`;
const OWN = [`dead-letters-${CANDIDATE}`, `consumer-${CANDIDATE}`];
const REBUILD = { rebuild: { rebuild: CONSUMER } } satisfies SynthesisOptions;
const PROMOTED = {
  settings: { consumers: { [CONSUMER]: { generations: [2, 1] } } },
} satisfies SynthesisOptions;
const KAFKA = { consumers: [consumerWith({ deadLetter: 'kafka' })] } satisfies SynthesisOptions;

const { dev, prod } = newsdesk.environments;
const DIRECT = { settings: { database: { ...prod!.database, proxy: false } } };
const SETTINGS: Readonly<Record<string, readonly [env: string, options: SynthesisOptions]>> = {
  dev: ['dev', {}],
  'prod, with a proxy': ['prod', {}],
  'prod, without one': ['prod', DIRECT],
  'prod, with dead letters in Kafka': ['prod', KAFKA],
};

const json = (template: Template | undefined) => template?.toJSON();
const propertiesOf = (template: Template | undefined, type: string) =>
  Object.values(json(template)?.Resources ?? {})
    .filter((each) => (each as { Type: string }).Type === type)
    .map((each) => (each as { Properties: Record<string, unknown> }).Properties);
const functionOf = (templates: Readonly<Record<string, Template>>, part: string) =>
  propertiesOf(templates[part], 'AWS::Lambda::Function').find(
    ({ FunctionName }) => FunctionName,
  ) as unknown as {
    readonly FunctionName: string;
    readonly Environment: { readonly Variables: Readonly<Record<string, unknown>> };
    readonly VpcConfig: { readonly SecurityGroupIds: readonly unknown[] };
  };
const importsOf = (template: Template | undefined) =>
  new Set(
    [...JSON.stringify(json(template)).matchAll(/"Fn::ImportValue":"([^"]+)"/g)].map(([, name]) => name!),
  );
const exportsOf = (template: Template | undefined) =>
  Object.values((json(template)?.Outputs ?? {}) as Record<string, { Export?: { Name: string } }>).flatMap(
    ({ Export }) => (Export ? [Export.Name] : []),
  );

describe.each(Object.entries(SETTINGS))('a candidate in %s', (_, [env, options]) => {
  const plain = templatesOf(env, options);
  const beside = templatesOf(env, { ...options, ...REBUILD });

  test('adds two stacks and changes no other', () => {
    expect(Object.keys(beside).filter((part) => !(part in plain))).toEqual(OWN);
    for (const [part, template] of Object.entries(plain)) expect(json(beside[part])).toEqual(json(template));
  });

  test('imports only what the plain app exports', () => {
    const exported = new Set([plain, beside].flatMap((each) => Object.values(each).flatMap(exportsOf)));
    const own = OWN.flatMap((part) => exportsOf(beside[part]));
    const kept = new Set(Object.values(plain).flatMap(exportsOf));
    expect(importsOf(beside[OWN[1]!]).size).toBeGreaterThan(5);
    for (const part of OWN) {
      for (const name of importsOf(beside[part])) expect(kept.has(name) || own.includes(name)).toBe(true);
    }
    expect(exported.size).toBe(kept.size + own.length);
  });

  test('is a consumer of its own, of the same code', () => {
    const { FunctionName, Environment } = functionOf(beside, OWN[1]!);
    expect(FunctionName).toBe(`millrace-${env}-${CANDIDATE}`);
    expect(Environment.Variables).toMatchObject({
      MILLRACE_GENERATION: '2',
      MILLRACE_DATABASE_USER: CANDIDATE,
      MILLRACE_CODE: codeFingerprint(
        new URL('../fixtures/newsdesk/millrace.config.ts', import.meta.url),
        (options.consumers ?? newsdesk.consumers).find(({ name }) => name === CONSUMER)!,
      ),
    });
    expect(functionOf(beside, `consumer-${CONSUMER}`).Environment.Variables).not.toHaveProperty(
      'MILLRACE_GENERATION',
    );
    const mappings = propertiesOf(beside[OWN[1]!], 'AWS::Lambda::EventSourceMapping');
    expect(mappings).toContainEqual(
      expect.objectContaining({
        Topics: ['news.pageviews'],
        AmazonManagedKafkaEventSourceConfig: { ConsumerGroupId: CANDIDATE },
        StartingPosition: 'TRIM_HORIZON',
      }),
    );
  });

  test('raises no page, and its queues go with it', () => {
    const alarms = propertiesOf(beside[OWN[1]!], 'AWS::CloudWatch::Alarm');
    expect(alarms.length).toBeGreaterThan(5);
    for (const type of ['AWS::CloudWatch::Alarm', 'AWS::CloudWatch::CompositeAlarm']) {
      for (const { AlarmActions, OKActions } of propertiesOf(beside[OWN[1]!], type)) {
        expect([AlarmActions, OKActions]).toEqual([undefined, undefined]);
      }
    }
    // Without a word of it, CloudFormation deletes.
    for (const each of resourcesOf({ own: beside[OWN[0]!]! })) {
      expect([undefined, 'Delete']).toContain((each as { DeletionPolicy?: string }).DeletionPolicy);
    }
  });
});

test('a candidate passes by the proxy, which logs in as users of the settings alone', () => {
  const templates = templatesOf('prod', REBUILD);
  const variables = (part: string) => functionOf(templates, part).Environment.Variables;
  expect(variables(OWN[1]!).MILLRACE_DATABASE_HOST).toEqual(variables('migrations').MILLRACE_DATABASE_HOST);
  expect(functionOf(templates, OWN[1]!).VpcConfig.SecurityGroupIds).toHaveLength(2);
  const connects = JSON.stringify(json(templates[OWN[1]!])).match(/dbuser:[^\]]*/g);
  expect(connects).toHaveLength(1);
  expect(connects![0]).toContain(`/${CANDIDATE}`);
  expect(connects![0]).not.toContain('Proxy');
});

describe('a promoted generation in the settings', () => {
  const templates = templatesOf('prod', PROMOTED);
  const ofAlarms = (part: string) =>
    propertiesOf(templates[part], 'AWS::CloudWatch::Alarm').filter(({ AlarmActions }) => AlarmActions);

  test('goes on by the same stacks, and pages in place of the first', () => {
    expect(Object.keys(templates)).toEqual(expect.arrayContaining([...OWN, `consumer-${CONSUMER}`]));
    expect(ofAlarms(OWN[1]!).length).toBeGreaterThan(5);
    expect(ofAlarms(`consumer-${CONSUMER}`)).toEqual([]);
    expect(functionOf(templates, OWN[1]!).VpcConfig.SecurityGroupIds).toHaveLength(1);
  });

  test('has the names that it had as a candidate', () => {
    const names = (all: Readonly<Record<string, Template>>) =>
      OWN.flatMap((part) =>
        resourcesOf({ part: all[part]! }).flatMap(
          ({ Properties: { FunctionName, QueueName, AliasName, Name } }) =>
            [FunctionName, QueueName, AliasName, Name].filter((each) => typeof each === 'string'),
        ),
      ).sort();
    expect(names(templates)).toEqual(names(templatesOf('prod', REBUILD)));
  });

  test('keeps its letters where data stays', () => {
    const queues = resourcesOf({ own: templates[OWN[0]!]! }).filter(({ Type }) => Type === 'AWS::SQS::Queue');
    for (const each of queues) expect(each).toMatchObject({ DeletionPolicy: 'RetainExceptOnCreate' });
  });

  test('may go on alone, when the first was dropped', () => {
    const settings = { consumers: { [CONSUMER]: { generations: [2], memoryMb: 2_048 } } };
    const alone = templatesOf('prod', { settings });
    expect(Object.keys(alone)).not.toContain(`consumer-${CONSUMER}`);
    expect(functionOf(alone, OWN[1]!)).toMatchObject({ MemorySize: 2_048 });
    const kept = new Set(Object.values(alone).flatMap(exportsOf));
    for (const name of importsOf(alone[OWN[1]!])) expect(kept.has(name)).toBe(true);
  });

  test.each(['dev', 'prod'])('the names of its stacks are known without the CDK, in %s', (env) => {
    const settings = { ...(env === 'dev' ? dev! : prod!), ...PROMOTED.settings };
    const environment = resolveEnvironment({ environments: { [env]: settings }, root: NEWSDESK }, { env });
    const parts = Object.keys(templatesOf(env, PROMOTED));
    expect(stackParts(appIn(newsdesk, environment), environment)).toEqual(parts);
  });
});

test.each([
  [{ rebuild: 'editorial-analytic' }, 'rebuild is "editorial-analytic"; it takes one of editorial-analytics'],
  [{ rebuild: true }, 'rebuild is true; it takes one of'],
  [{ rebuild: CONSUMER, generation: '1' }, 'generation is "1"; it takes a whole number from 2 to 9999'],
  [{ rebuild: CONSUMER, generation: 'two' }, 'generation is "two"; it takes a whole number'],
  [{ rebuild: CONSUMER, generation: '10000' }, 'generation is "10000"; it takes a whole number'],
  [
    { generation: '2' },
    'generation is "2"; it takes a consumer to rebuild with it. Add "-c rebuild=CONSUMER".',
  ],
])('refuses %j', (rebuild, message) => {
  expect(() => templatesOf('dev', { rebuild })).toThrow(message);
});

test('refuses as a candidate what the settings run', () => {
  expect(() => templatesOf('prod', { ...PROMOTED, rebuild: { rebuild: CONSUMER, generation: '2' } })).toThrow(
    'generation is 2; it takes a number that prod.consumers.editorial-analytics.generations does not have already',
  );
});

test.each([[[]], [[1, 1]], [[0]], [[1.5]], [[10_000]]])(
  'refuses generations %j in the settings',
  (generations) => {
    expect(() => templatesOf('dev', { settings: { consumers: { [CONSUMER]: { generations } } } })).toThrow(
      'dev.consumers.editorial-analytics.generations is',
    );
  },
);

/** What an environment's settings change about its stacks. */
import { describe, expect, test } from '@jest/globals';
import type { Template } from 'aws-cdk-lib/assertions';
import { defaultCidr } from '../../runtime/cidr.ts';
import { checkAgainstApp } from '../../runtime/deployable.ts';
import { type EnvironmentSettings, resolveEnvironment } from '../../runtime/environment.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import {
  consumerWith,
  DEAD_LETTERS_IN_KAFKA,
  resourcesOf,
  type SynthesisOptions,
  templatesOf,
} from './synthesized.ts';

const CONSUMER = 'editorial-analytics';

const withSettings = (settings: Partial<EnvironmentSettings>, options: SynthesisOptions = {}) =>
  templatesOf('prod', { ...options, settings }) as Readonly<Record<string, Template>>;
const environmentOf = (settings: Partial<EnvironmentSettings>) =>
  resolveEnvironment(
    { environments: { prod: { ...newsdesk.environments.prod!, ...settings } }, root: '/app' },
    { env: 'prod' },
  );
const ofType = (templates: Readonly<Record<string, Template>>, type: string) =>
  resourcesOf(templates).filter(({ Type }) => Type === type);
const mappingsOf = (templates: Readonly<Record<string, Template>>) =>
  ofType(templates, 'AWS::Lambda::EventSourceMapping').map(({ Properties }) => Properties);
const pollersOf = (templates: Readonly<Record<string, Template>>) =>
  mappingsOf(templates).find(({ Topics }) => Topics)!.ProvisionedPollerConfig;
const refused = (message: RegExp) =>
  expect.objectContaining({ code: 'ENVIRONMENT_INVALID', message: expect.stringMatching(message) });

describe('pollers', () => {
  const polling = { mode: 'provisioned', minimumPollers: 2, maximumPollers: 12 } as const;

  test('are shared by all consumers of the environment, unless the settings say another group or none', () => {
    expect(pollersOf(withSettings({}))).toEqual({
      MinimumPollers: 2,
      MaximumPollers: 12,
      PollerGroupName: 'millrace-prod',
    });
    expect(pollersOf(withSettings({ polling: { ...polling, group: 'quiet' } })).PollerGroupName).toBe(
      'quiet',
    );
    expect(pollersOf(withSettings({ polling: { ...polling, group: null } }))).not.toHaveProperty(
      'PollerGroupName',
    );
  });

  test('of one consumer may be other ones, and outside of the group', () => {
    const own = (group: string | null) =>
      pollersOf(withSettings({ consumers: { [CONSUMER]: { polling: { minimumPollers: 6, group } } } }));
    expect(own(null)).toEqual({ MinimumPollers: 6, MaximumPollers: 12 });
    expect(own('busy')).toMatchObject({ PollerGroupName: 'busy' });
  });

  test.each([
    [
      101,
      1,
      /group is "millrace-prod"; it takes up to 100 consumers .* this group has 101 with 101\. Give some/,
    ],
    [100, 12, undefined],
    [99, 24, /with up to 2000 pollers in all, and this group has 99 with 2376/],
  ])('%i consumers with up to %i pollers each', (count, maximumPollers, message) => {
    const { topic } = consumerWith({});
    const wide = { ...topic, partitions: 24 } as never;
    const consumers = Array.from({ length: count }, (_, index) =>
      consumerWith({ name: `c${index}`, topic: wide }),
    );
    const check = () =>
      checkAgainstApp(environmentOf({ polling: { ...polling, minimumPollers: 1, maximumPollers } }), {
        contracts: [],
        consumers,
      });
    if (message) expect(check).toThrow(refused(message));
    else expect(check).not.toThrow();
  });
});

describe('a consumer of one environment', () => {
  test('has other memory, concurrency and thresholds there, and what the declaration says elsewhere', () => {
    const overrides = { memoryMb: 2_048, reservedConcurrency: 7, lag: { warning: 5 } };
    const templates = withSettings({ consumers: { [CONSUMER]: overrides } });
    const consumer = { [CONSUMER]: templates[`consumer-${CONSUMER}`]! };
    const [fn] = ofType(consumer, 'AWS::Lambda::Function');
    expect(fn!.Properties).toMatchObject({ MemorySize: 2_048, ReservedConcurrentExecutions: 7 });
    const thresholds = ofType(consumer, 'AWS::CloudWatch::Alarm')
      .filter(({ Properties }) => /-lag-(warning|incident)/.test(Properties.AlarmName))
      .map(({ Properties }) => Properties.Threshold);
    expect(thresholds.toSorted((a, b) => a - b)).toEqual([5, 100_000]);
    const [elsewhere] = ofType({ dev: templatesOf('dev')[`consumer-${CONSUMER}`]! }, 'AWS::Lambda::Function');
    expect(elsewhere!.Properties.MemorySize).toBe(1_024);
  });

  test('is off: nothing invokes its function, and only its dead letters alarm', () => {
    const templates = withSettings({ consumers: { [CONSUMER]: { enabled: false } } });
    expect(mappingsOf(templates).map(({ Enabled }) => Enabled)).toEqual([false, false]);
    const kinds = ofType({ c: templates[`consumer-${CONSUMER}`]! }, 'AWS::CloudWatch::Alarm').map(
      ({ Properties }) => Properties.AlarmName.replace(`millrace-prod-${CONSUMER}-`, ''),
    );
    expect(kinds.toSorted()).toEqual([
      'dead-letters-expiring',
      'dead-letters-rising',
      'dead-letters-unsuppressed',
      'records-passed-over',
    ]);
    const shown = JSON.stringify(templates.health!.toJSON());
    expect(shown).toContain('editorial-analytics-dead-letters-expiring');
    expect(shown).not.toContain('editorial-analytics-silent-poller');
  });

  test('is on unless an operator has paused it, by what stands in SSM at the time of the deployment', () => {
    const templates = withSettings({});
    const consumer = templates['consumer-editorial-analytics']!.toJSON();
    expect(mappingsOf(templates).map(({ Enabled }) => Enabled)).toEqual([
      { 'Fn::If': ['IsPaused', false, true] },
      undefined,
    ]);
    expect(consumer.Conditions).toEqual({ IsPaused: { 'Fn::Equals': [{ Ref: 'Paused' }, 'true'] } });
    const Name = '/millrace/prod/consumers/editorial-analytics/paused';
    expect(consumer.Parameters.Paused).toMatchObject({
      Type: 'AWS::SSM::Parameter::Value<String>',
      Default: Name,
    });
    // It is there first; and in its own words nothing can change, or CloudFormation would write it anew.
    templates.operations!.hasResourceProperties('AWS::SSM::Parameter', { Name });
    const [parameter] = Object.values(templates.operations!.findResources('AWS::SSM::Parameter'));
    expect(parameter!.Properties).toEqual({ Name, Type: 'String', Value: 'false' });
  });

  test('stays off where the environment turns it off, whatever an operator has paused', () => {
    const templates = withSettings({ consumers: { [CONSUMER]: { enabled: false } } });
    expect(mappingsOf(templates)[0]).toMatchObject({ Enabled: false });
    expect(templates['consumer-editorial-analytics']!.toJSON().Conditions).toBeUndefined();
    templates.operations!.resourceCountIs('AWS::SSM::Parameter', 1);
  });

  test.each<[NonNullable<EnvironmentSettings['consumers']>, RegExp]>([
    [
      { 'editorial-analitics': {} },
      /prod\.consumers names "editorial-analitics", which is none of the app's consumers: editorial-analytics\. Did you mean "editorial-analytics"\? Change/,
    ],
    [{ constructor: {} }, /prod\.consumers names "constructor"/],
    [{ [CONSUMER]: { memoryMb: 64 } }, /memoryMb is 64; it takes a whole number from 128 to 10240/],
    [{ [CONSUMER]: { reservedConcurrency: 0 } }, /reservedConcurrency is 0/],
    // The declaration's incident is at 100,000.
    [{ [CONSUMER]: { lag: { warning: 200_000 } } }, /lag\.incident is 100000; .* from 200000/],
  ])('%j is refused', (consumers, message) => {
    expect(() => withSettings({ consumers })).toThrow(refused(message));
  });
});

describe('existing topics', () => {
  const topicsOf = (existingTopics: readonly string[]) =>
    ofType(withSettings({ existingTopics }, DEAD_LETTERS_IN_KAFKA), 'AWS::MSK::Topic').map(
      ({ Properties }) => Properties.TopicName,
    );
  const letters = 'news.pageviews.editorial-analytics.dead-letters';

  test('are not created; their schemas are', () => {
    expect(topicsOf([]).toSorted()).toEqual(['news.pageviews', letters]);
    expect(topicsOf(['news.pageviews'])).toEqual([letters]);
    expect(topicsOf([letters, 'news.pageviews'])).toEqual([]);
    const templates = withSettings({ existingTopics: ['news.pageviews'] });
    templates.contracts!.hasResourceProperties('AWS::Glue::Schema', { Name: 'news.pageviews' });
  });

  test('are topics of the app', () => {
    expect(() => topicsOf(['news.pageview'])).toThrow(
      refused(
        /prod\.existingTopics names "news\.pageview", which is none of the app's topics: .* Did you mean "news\.pageviews"\?/,
      ),
    );
  });
});

test('a network has the addresses of its environment, or those that it is given', () => {
  const cidrOf = (templates: Readonly<Record<string, Template>>) =>
    ofType(templates, 'AWS::EC2::VPC')[0]!.Properties.CidrBlock;
  expect(cidrOf(templatesOf('dev'))).toBe(defaultCidr('dev'));
  const own = withSettings({ network: { type: 'new', cidr: '192.168.32.0/19' } });
  expect(cidrOf(own)).toBe('192.168.32.0/19');
  expect(ofType(own, 'AWS::EC2::Subnet').map(({ Properties }) => Properties.CidrBlock)).toHaveLength(9);
});

test('alarms reach the addresses and the topics that the settings name', () => {
  const theirs = 'arn:aws:sns:eu-west-1:123456789012:oncall';
  const templates = withSettings({
    notifications: { warning: ['team@example.com'], incident: ['oncall@example.com', theirs] },
  });
  const subscriptions = ofType(templates, 'AWS::SNS::Subscription').map(({ Properties }) => [
    Properties.TopicArn.Ref.replace(/[0-9A-F]{8}$/, ''),
    Properties.Protocol,
    Properties.Endpoint,
  ]);
  expect(subscriptions.toSorted()).toEqual([
    ['Incidents', 'email', 'oncall@example.com'],
    ['Warnings', 'email', 'team@example.com'],
  ]);
  const actionsOf = (kind: string) =>
    ofType(templates, 'AWS::CloudWatch::Alarm').find(({ Properties }) => Properties.AlarmName.endsWith(kind))!
      .Properties;
  const { AlarmActions, OKActions } = actionsOf('-stalled');
  expect([AlarmActions.length, AlarmActions[1], OKActions]).toEqual([2, theirs, AlarmActions]);
  expect(actionsOf('-throttles').AlarmActions).toHaveLength(1);
});

test('outputs tell a producer what it needs', () => {
  const templates = withSettings({});
  const named = ({ Outputs }: { Outputs: Record<string, { Export?: unknown }> }) =>
    Object.keys(Outputs).filter((name) => !Outputs[name]!.Export);
  expect(named(templates.network!.toJSON() as never)).toEqual(['VpcId', 'BrokersGroupId']);
  expect(named(templates.contracts!.toJSON() as never)).toEqual(['BootstrapBrokers', 'RegistryName']);
});

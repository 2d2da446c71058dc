/** How many consumers one environment takes: what grows with them stays under AWS's limits, or synth says which it is not. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { checkTemplates } from '../../lib/limits.ts';
import type { Contract } from '../../runtime/contract/contract.ts';
import { pageviews } from '../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { appOf, consumerWith, resourcesOf, type SynthesisOptions, templatesOf } from './synthesized.ts';

const { path: root, remove } = createTemporaryFolder();
afterAll(remove);

/** An app with so many consumers, each of a topic of its own that is collected too, every third with its dead letters in Kafka. */
function appWith(count: number, onlyTopic?: Contract<never>): SynthesisOptions {
  const contracts = onlyTopic
    ? [onlyTopic]
    : Array.from({ length: count }, (_, index) => ({ ...pageviews, name: `news.topic-${index}` }) as never);
  const consumers = Array.from({ length: count }, (_, index) =>
    consumerWith({
      name: `consumer-${index}`,
      topic: contracts[index % contracts.length] as never,
      deadLetter: index % 3 === 0 ? 'kafka' : 'sqs',
    }),
  );
  for (const folder of ['collector', 'migrations', ...consumers.map(({ name }) => name)]) {
    mkdirSync(join(root, 'lambdas', folder), { recursive: true });
    writeFileSync(join(root, 'lambdas', folder, 'index.ts'), '');
  }
  writeFileSync(join(root, 'package-lock.json'), '{}');
  return { root, contracts, collected: contracts, consumers };
}

describe('forty consumers in prod', () => {
  const options = appWith(40);
  const templates = templatesOf('prod', options);

  test('keep a stack each, named after it', () => {
    const parts = Object.keys(templates).filter((part) => part.startsWith('consumer-'));
    expect(parts).toEqual(options.consumers!.map(({ name }) => `consumer-${name}`));
  });

  test('stay under the limits of CloudFormation, with room for another twenty', () => {
    expect(() => checkTemplates(appOf('prod', appWith(60)).synth())).not.toThrow();
    const { Outputs } = templates['dead-letters']!.toJSON();
    expect(Object.keys(Outputs).length).toBeLessThanOrEqual(40 * 2 + 1);
  });

  test('add no rule to a security group', () => {
    const rules = (of: SynthesisOptions) =>
      resourcesOf({ network: templatesOf('prod', of).network! }).filter(({ Type }) =>
        /SecurityGroup/.test(Type),
      );
    expect(rules(options).length).toBe(rules(appWith(1)).length);
  });

  test('leave each function waiting for all its rights, which may be more than one policy holds', () => {
    const { Resources } = templates.collector!.toJSON();
    const { DependsOn } = Object.values(Resources).find(
      // biome-ignore lint/suspicious/noExplicitAny: a template is any JSON.
      ({ Properties }: any) => Properties.FunctionName === 'millrace-prod-collector',
      // biome-ignore lint/suspicious/noExplicitAny: a template is any JSON.
    ) as any;
    const types = DependsOn.map((id: string) => Resources[id].Type);
    expect(types).toEqual(['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy']);
    // A consumer's rights grow with nobody else's.
    const others = resourcesOf({
      consumer: templates['consumer-consumer-0']!,
      database: templates.database!,
    });
    expect(others.map(({ Type }) => Type)).not.toContain('AWS::IAM::ManagedPolicy');
  });

  test('are all on the dashboard, a hundred alarms a widget at most', () => {
    const [dashboard] = Object.values(templates.health!.findResources('AWS::CloudWatch::Dashboard'));
    const text = dashboard!.Properties.DashboardBody['Fn::Join'][1]
      .map((part: unknown) => (typeof part === 'string' ? part : 'x'))
      .join('');
    const { widgets } = JSON.parse(text);
    const alarms = widgets.filter(({ type }: { type: string }) => type === 'alarm');
    const counts = alarms.map(
      ({ properties }: { properties: { alarms: string[] } }) => properties.alarms.length,
    );
    expect(Math.max(...counts)).toBe(100);
    for (const { name } of options.consumers!) expect(text).toContain(`## ${name} ←`);
    expect(alarms[0].properties.title).toMatch(/^Incidents \(1 of \d\)$/);
    expect(widgets.length).toBeLessThanOrEqual(500);
  });

  test('have a rule for each composite alarm that CloudWatch takes', () => {
    const composites = resourcesOf(templates).filter(
      ({ Type }) => Type === 'AWS::CloudWatch::CompositeAlarm',
    );
    expect(composites.length).toBeGreaterThan(40);
    for (const { Properties } of composites) {
      expect(JSON.stringify(Properties.AlarmRule).length).toBeLessThan(10_240);
    }
  });
});

describe('one too many is refused, with the stack, the limit and what to do', () => {
  const refused = (message: RegExp) =>
    expect.objectContaining({ code: 'STACK_TOO_LARGE', message: expect.stringMatching(message) });
  const assembly = (template: object) => ({ stacks: [{ stackName: 'millrace-prod-x', template }] }) as never;
  const many = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`R${index}`, {}]));

  test.each([
    ['Resources', 501, /^Stack millrace-prod-x has 501 resources; AWS takes 500 in one\. Give some topics/],
    ['Outputs', 201, /has 201 outputs; AWS takes 200/],
    ['Parameters', 201, /has 201 parameters; AWS takes 200/],
  ])('%s', (section, count, message) => {
    expect(() => checkTemplates(assembly({ [section]: many(count - 1) }))).not.toThrow();
    expect(() => checkTemplates(assembly({ [section]: many(count) }))).toThrow(refused(message));
  });

  test('a template of a megabyte', () => {
    const text = 'x'.repeat(1_000_000);
    expect(() => checkTemplates(assembly({ Description: text }))).toThrow(
      refused(/has a template of \d+ bytes; AWS takes 1000000/),
    );
  });

  test('a dashboard of more than 500 widgets', () => {
    expect(() => appOf('prod', appWith(100, pageviews as never))).toThrow(
      refused(/^Stack millrace-prod-health has a dashboard of 6\d\d widgets; AWS takes 500/),
    );
  });
});

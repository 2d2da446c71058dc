import { describe, expect, test } from '@jest/globals';
import { App, Stack } from 'aws-cdk-lib';
import { type IVpc, Peer, Port, SecurityGroup, Vpc } from 'aws-cdk-lib/aws-ec2';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { IConstruct } from 'constructs';
import { appOf, DEAD_LETTERS_IN_KAFKA, ENVIRONMENT_NAMES, withVariant } from './synthesized.ts';
import { VARIANTS } from './variants.ts';

/** What cdk-nag's AwsSolutions rules find and nobody has acknowledged: rule and resource. */
function findings(scope: IConstruct): readonly string[] {
  const { violations } = new AwsSolutionsChecks(scope).validateScope(scope);
  return violations.flatMap(({ ruleName, violatingResources }) =>
    violatingResources.map(({ constructPath }) => `${ruleName} ${constructPath}`),
  );
}

describe('cdk-nag finds nothing unacknowledged', () => {
  test.each(ENVIRONMENT_NAMES)('in %s', (env) => {
    expect(findings(appOf(env))).toEqual([]);
    expect(findings(appOf(env, DEAD_LETTERS_IN_KAFKA))).toEqual([]);
  });

  test.each(Object.entries(VARIANTS))('with %s', (_, variant) => {
    expect(findings(appOf(variant.env, withVariant(variant)))).toEqual([]);
  });
});

test('cdk-nag would find an open door', () => {
  const stack = new Stack(new App({ analyticsReporting: false }), 'open');
  const door = new SecurityGroup(stack, 'Door', { vpc: new Vpc(stack, 'Vpc') as IVpc });
  door.addIngressRule(Peer.anyIpv4(), Port.SSH);
  expect(findings(stack)).toContainEqual(expect.stringMatching(/^AwsSolutions-EC23.* open\/Door/));
});

import type { CloudAssembly } from 'aws-cdk-lib/cx-api';
import { MillraceError } from '../runtime/errors.ts';

/** What CloudFormation takes in one stack: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html (2026-11-26) */
const SECTIONS = { Resources: 500, Outputs: 200, Parameters: 200, Mappings: 200 } as const;
const TEMPLATE_BYTES = 1_000_000;

/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html (2026-11-26) */
const WIDGETS = 500;

/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html (2026-11-26) */
export const WIDGET_ALARMS = 100;

/**
 * Each template, against what AWS takes: a deployment would find out only after it has changed other stacks.
 * @throws STACK_TOO_LARGE naming the stack, the limit and what it has
 */
export function checkTemplates(assembly: CloudAssembly): void {
  for (const { stackName, template } of assembly.stacks) {
    for (const [section, limit] of Object.entries(SECTIONS)) {
      const count = Object.keys(template[section] ?? {}).length;
      if (count > limit) throw tooLarge(stackName, `${count} ${section.toLowerCase()}`, limit);
    }
    // As the CDK writes them, which is what is uploaded.
    const bytes = Buffer.byteLength(JSON.stringify(template, undefined, 1));
    if (bytes > TEMPLATE_BYTES) throw tooLarge(stackName, `a template of ${bytes} bytes`, TEMPLATE_BYTES);
  }
}

/** @throws STACK_TOO_LARGE */
export function checkWidgets(stackName: string, count: number): void {
  if (count > WIDGETS) throw tooLarge(stackName, `a dashboard of ${count} widgets`, WIDGETS);
}

function tooLarge(stack: string, has: string, limit: number): MillraceError {
  return new MillraceError(
    'STACK_TOO_LARGE',
    `Stack ${stack} has ${has}; AWS takes ${limit} in one. Give some topics and their consumers an app of their own, ` +
      'which can use the same cluster (docs/deploy.md#more-consumers).',
    { details: { stack, has, limit } },
  );
}

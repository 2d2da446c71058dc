/** What would be deployed, as it is: a change shows in the diff, and is meant. `npm test -- test/lib/snapshots -u` takes it over. */
import { describe, expect, test } from '@jest/globals';
import { ENVIRONMENT_NAMES, templatesOf, withVariant } from './synthesized.ts';
import { VARIANTS } from './variants.ts';

/** Without what changes with every line of a function's code. */
function scrubbed(template: object): unknown {
  return JSON.parse(
    JSON.stringify(template)
      .replace(/"S3Key":"[0-9a-f]{64}\.zip"/g, '"S3Key":"<asset>.zip"')
      .replace(/"MILLRACE_CODE":"[0-9a-f]{16}"/g, '"MILLRACE_CODE":"<code>"')
      .replace(/CurrentVersion[0-9A-F]{8}[0-9a-f]{32}/g, 'CurrentVersion<hash>'),
  );
}

describe.each(ENVIRONMENT_NAMES)('%s', (env) => {
  test.each(Object.entries(templatesOf(env, { validates: true })))('%s', (_, template) => {
    expect(scrubbed(template.toJSON())).toMatchSnapshot();
  });
});

describe('prod with a page', () => {
  const variant = VARIANTS['a page for whoever IAM lets in']!;
  const templates = templatesOf(variant.env, { ...withVariant(variant), validates: true });

  test('collector', () => {
    expect(scrubbed(templates.collector!.toJSON())).toMatchSnapshot();
  });
});

describe('prod with a captured table and an archive', () => {
  const variant = VARIANTS['a captured table and an archive']!;
  const templates = templatesOf(variant.env, { ...withVariant(variant), validates: true });

  test.each(['archive', 'capture-cms', 'consumer-cms-articles-archive'])('%s', (part) => {
    expect(scrubbed(templates[part]!.toJSON())).toMatchSnapshot();
  });
});

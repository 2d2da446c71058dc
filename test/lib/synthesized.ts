import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';
import { App, Stack, Validations } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { addEnvironmentStacks } from '../../lib/environment-stacks.ts';
import type { Demo } from '../../runtime/app.ts';
import type { CapturedTable } from '../../runtime/capture/table.ts';
import type { Contract } from '../../runtime/contract/contract.ts';
import { type AnyConsumer, defineConsumer } from '../../runtime/delivery/consumer.ts';
import { type EnvironmentSettings, resolveEnvironment } from '../../runtime/environment.ts';
import type { RebuildRequest } from '../../runtime/rebuild-in-environment.ts';
import { pageviews } from '../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { NEWSDESK } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import type { Variant } from './variants.ts';

const { context } = JSON.parse(readFileSync(new URL('../../cdk.json', import.meta.url), 'utf8'));

export const ENVIRONMENT_NAMES = Object.keys(newsdesk.environments);

export interface SynthesisOptions {
  readonly contracts?: readonly Contract<never>[];
  readonly consumers?: readonly AnyConsumer[];
  readonly tables?: readonly CapturedTable[];
  readonly demo?: Demo;
  /** @default those of the contracts that the newsdesk collects */
  readonly collected?: readonly Contract<never>[];
  /** The folder with lambdas/ in it. @default the newsdesk's */
  readonly root?: string;
  /** @default none: wherever the deploying credentials lead */
  readonly account?: string;
  /** Where the CDK writes. @default a temporary folder */
  readonly outdir?: string;
  /** What is different from the environment as it is. */
  readonly settings?: Partial<EnvironmentSettings>;
  /** A candidate that is deployed beside it. */
  readonly rebuild?: RebuildRequest;
  /** Whether functions are bundled, as in a deployment; else their code is left out. @default false */
  readonly bundles?: boolean;
  /** Whether the CDK checks the templates by CloudFormation's rules: that takes longer than all else. @default false */
  readonly validates?: boolean;
}

const { path: outputs, remove } = createTemporaryFolder();
afterAll(remove);

/** The model consumer with something else about its declaration. */
export const consumerWith = (changes: Partial<Parameters<typeof defineConsumer>[0]>): AnyConsumer =>
  defineConsumer({
    name: 'editorial-analytics',
    topic: pageviews,
    sink: 'postgres',
    handle: async () => {},
    ...changes,
  } as Parameters<typeof defineConsumer>[0]) as AnyConsumer;

/** A variant of the newsdesk's environment. */
export function withVariant({ env, settings, consumer, app = newsdesk, rebuild }: Variant): SynthesisOptions {
  return {
    ...(rebuild && { rebuild }),
    settings: settings(newsdesk.environments[env]!),
    consumers: app.consumers.map((each) => ({ ...each, ...consumer })),
    tables: app.tables ?? [],
    ...(app.demo && { demo: app.demo }),
  };
}

/** For what no consumer of the newsdesk declares. */
export const DEAD_LETTERS_IN_KAFKA = { consumers: [consumerWith({ deadLetter: 'kafka' })] };

/** The CDK app of an environment, as bin/app.ts builds it. */
export function appOf(env: string, options: SynthesisOptions = {}): App {
  const { settings = {}, root = NEWSDESK, account, rebuild, bundles = false, validates = false } = options;
  const { contracts, consumers, tables = [], demo } = { ...newsdesk, ...options };
  const isCollected = (each: Contract<never>) => newsdesk.collected!.some(({ name }) => name === each.name);
  const { collected = contracts.filter(isCollected) } = options;
  const app = new App({
    outdir: options.outdir ?? mkdtempSync(join(outputs, env)),
    context: { ...context, ...(!bundles && { 'aws:cdk:bundling-stacks': [] }) },
    analyticsReporting: false,
    stackTraces: false,
    builtinCloudFormationValidation: validates,
  });
  // Nothing of it is deployed from here.
  Validations.of(app).acknowledge({ id: 'Annotation::millrace:plugin-not-built', reason: 'a test' });
  const environments = { [env]: { ...newsdesk.environments[env]!, ...settings } };
  const environment = resolveEnvironment({ environments, root }, { env, account });
  const declared = { contracts, consumers, collected, tables, ...(demo && { demo }) };
  addEnvironmentStacks(app, environment, declared, rebuild);
  return app;
}

type Templates = Readonly<Record<string, Template>>;

/** By environment and options: a test file asks for the same ones again and again, and changes none. */
const synthesized = new WeakMap<SynthesisOptions, Map<string, Templates>>();
const AS_IT_IS: SynthesisOptions = {};

/** The template of each stack, by its part: `network`, `consumer-editorial-analytics` … */
export function templatesOf(env: string, options: SynthesisOptions = AS_IT_IS): Templates {
  const byEnvironment = synthesized.get(options) ?? new Map<string, Templates>();
  synthesized.set(options, byEnvironment);
  const templates =
    byEnvironment.get(env) ??
    Object.fromEntries(
      appOf(env, options)
        .node.children.filter((child) => Stack.isStack(child))
        .map((stack) => [stack.stackName.replace(`millrace-${env}-`, ''), Template.fromStack(stack)]),
    );
  byEnvironment.set(env, templates);
  return templates;
}

export interface Resource {
  readonly Type: string;
  // biome-ignore lint/suspicious/noExplicitAny: a template is any JSON.
  readonly Properties: any;
}

/** Every resource of the templates with its stack's part and logical id. */
export function resourcesOf(
  templates: Readonly<Record<string, Template>>,
): readonly (Resource & { readonly id: string })[] {
  return Object.entries(templates).flatMap(([part, template]) =>
    Object.entries(template.toJSON().Resources as Record<string, Resource>).map(([id, resource]) => ({
      ...resource,
      id: `${part}/${id}`,
    })),
  );
}

/** The stacks that deploy before a stack. */
export function dependenciesOf(env: string, part: string): readonly string[] {
  const stack = appOf(env).node.findChild(`millrace-${env}-${part}`) as Stack;
  return stack.dependencies.map(({ stackName }) => stackName);
}

/** The folders of the code of each function, as it is deployed: `index.js`, and `msk.js` where it writes to topics. */
export function bundlesOf(options: SynthesisOptions): readonly string[] {
  const { directory } = appOf('dev', { ...options, bundles: true }).synth();
  return readdirSync(directory)
    .map((name) => join(directory, name))
    .filter((path) => existsSync(join(path, 'index.js.map')));
}

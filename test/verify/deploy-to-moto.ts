/**
 * Deploys our own templates to moto's CloudFormation, in the order of the stacks. Types that moto 5.2.5 cannot make are
 * left out, and a stack that is made of them alone is a stand-in that exports what others import.
 */
import { CloudFormation } from '@aws-sdk/client-cloudformation';
import { S3 } from '@aws-sdk/client-s3';
import { appOf } from '../lib/synthesized.ts';

/** Tried on 2026-11-26: moto answers a template with one of these by leaving it out, and with 500 where an output names it. */
const NOT_IN_MOTO = new Set([
  'AWS::ApiGateway::Account',
  'AWS::CloudWatch::Alarm',
  'AWS::CloudWatch::CompositeAlarm',
  'AWS::EC2::FlowLog',
  'AWS::EC2::SecurityGroupEgress',
  'AWS::EC2::SecurityGroupIngress',
  'AWS::Glue::Registry',
  'AWS::Glue::Schema',
  'AWS::Glue::SchemaVersion',
  'AWS::MSK::Cluster',
  'AWS::MSK::Configuration',
  'AWS::MSK::Topic',
  'AWS::RDS::DBCluster',
  'AWS::RDS::DBInstance',
  'AWS::S3::BucketPolicy',
  'AWS::SNS::TopicPolicy',
  'AWS::SQS::QueuePolicy',
  // moto invokes functions in Docker.
  'Custom::Trigger',
]);

interface Template {
  Resources: Record<
    string,
    { Type: string; Properties?: Record<string, unknown>; DependsOn?: string | string[] }
  >;
  Outputs?: Record<string, { Value: unknown; Export?: { Name: string } }>;
  Parameters?: unknown;
  Rules?: unknown;
}

export interface Deployed {
  /** By stack: how many resources moto made, and the types that were left out. */
  readonly made: ReadonlyMap<string, { readonly resources: number; readonly leftOut: readonly string[] }>;
  /** The template's resource of that type and, where given, part of its logical id. */
  resource(stack: string, type: string, id?: string): Record<string, unknown>;
}

/** @param standIns stacks that moto cannot make, with a value for each of their exports */
export async function deployToMoto(
  endpoint: string,
  env: string,
  standIns: Readonly<Record<string, (exported: string) => string>>,
): Promise<Deployed> {
  const cloudFormation = new CloudFormation({ endpoint });
  const s3 = new S3({ endpoint, forcePathStyle: true });
  const made = new Map<string, { resources: number; leftOut: readonly string[] }>();
  const templates = new Map<string, Template>();
  try {
    for (const { stackName, template } of appOf(env).synth().stacks) {
      const part = stackName.replace(`millrace-${env}-`, '');
      const whole = template as Template;
      templates.set(part, whole);
      const standIn = standIns[part];
      const { Resources, leftOut } = standIn ? standInFor(part) : supported(whole);
      if (!standIn) await putCode(s3, Resources);
      const Outputs = standIn
        ? exportsOf(whole, standIn)
        : Object.fromEntries(
            Object.entries(whole.Outputs ?? {}).filter(([, { Value }]) => !namesAny(Value, whole, Resources)),
          );
      await cloudFormation.createStack({
        StackName: stackName,
        Capabilities: ['CAPABILITY_IAM', 'CAPABILITY_NAMED_IAM'],
        TemplateBody: JSON.stringify({ Resources, Outputs }),
      });
      made.set(part, { resources: Object.keys(Resources).length, leftOut });
    }
  } finally {
    cloudFormation.destroy();
    s3.destroy();
  }
  return {
    made,
    resource(stack, type, id = '') {
      const found = Object.entries(templates.get(stack)!.Resources).find(
        ([name, { Type }]) => Type === type && name.includes(id),
      );
      return found![1].Properties!;
    },
  };
}

/** What moto takes of a template. */
function supported({ Resources }: Template) {
  const isLeftOut = ({ Type, Properties }: Template['Resources'][string]) =>
    NOT_IN_MOTO.has(Type) || (Type === 'AWS::Lambda::EventSourceMapping' && Properties?.Topics !== undefined);
  const kept = Object.entries(Resources).filter(([, resource]) => !isLeftOut(resource));
  const names = new Set(kept.map(([name]) => name));
  return {
    Resources: Object.fromEntries(
      kept.map(([name, { DependsOn = [], ...resource }]) => {
        const waits = [DependsOn].flat().filter((each) => names.has(each));
        return [name, { ...resource, ...(waits.length > 0 && { DependsOn: waits }) }];
      }),
    ) as Template['Resources'],
    leftOut: [
      ...new Set(
        Object.values(Resources)
          .filter(isLeftOut)
          .map(({ Type }) => Type),
      ),
    ].sort(),
  };
}

function standInFor(part: string) {
  return {
    Resources: { StandIn: { Type: 'AWS::Logs::LogGroup', Properties: { LogGroupName: `stand-in-${part}` } } },
    leftOut: ['all'],
  };
}

function exportsOf({ Outputs = {} }: Template, exported: (name: string) => string) {
  return Object.fromEntries(
    Object.entries(Outputs).flatMap(([name, output]) =>
      output.Export ? [[name, { ...output, Value: exported(output.Export.Name) }]] : [],
    ),
  );
}

/** Whether a value refers to a resource that was left out. */
function namesAny(value: unknown, { Resources }: Template, kept: Template['Resources']): boolean {
  const text = JSON.stringify(value);
  return Object.keys(Resources).some((name) => !(name in kept) && text.includes(`"${name}"`));
}

/** moto looks for a function's code where the template says; what is in it, nobody runs. */
async function putCode(s3: S3, resources: Template['Resources']): Promise<void> {
  for (const { Type, Properties } of Object.values(resources)) {
    if (Type !== 'AWS::Lambda::Function') continue;
    const Bucket = 'assets';
    const Code = { S3Bucket: Bucket, S3Key: 'code.zip' };
    await s3.createBucket({ Bucket }).catch((error: Error) => {
      if (!error.name.startsWith('BucketAlready')) throw error;
    });
    await s3.putObject({ Bucket, Key: Code.S3Key, Body: EMPTY_ZIP });
    Properties!.Code = Code;
  }
}

/** An archive without a file: its end record alone. */
const EMPTY_ZIP = Buffer.concat([Buffer.from('504b0506', 'hex'), Buffer.alloc(18)]);

/** Options that replace the embedded Kafka or PostgreSQL with a real one. */
import { InvalidArgumentError, Option } from 'commander';
import {
  type KafkaConnection,
  type KafkaSecurity,
  parseBrokers,
  regionOfBroker,
} from '../adapters/kafka/connection.ts';
import type { StoresOptions } from '../local/stores.ts';
import { MillraceError } from '../runtime/errors.ts';

export interface KafkaOptions {
  readonly kafka?: readonly string[];
  readonly kafkaAuth?: KafkaSecurity['kind'];
}

export interface ArchiveOptions {
  readonly archive?: string;
  readonly archiveEndpoint?: string;
}

export interface PostgresOptions {
  readonly postgres?: string;
}

const USERNAME = 'MILLRACE_KAFKA_USERNAME';
const PASSWORD = 'MILLRACE_KAFKA_PASSWORD';

export const KAFKA_HELP = `
With --kafka the topics are in that cluster; everything else stays in the state
folder. Millrace creates missing topics as their contracts say, and never changes
or deletes one, not even with --fresh. --kafka-auth scram reads the login from
${USERNAME} and ${PASSWORD}; iam uses your AWS
login. NODE_EXTRA_CA_CERTS names a certificate authority that Node does not know.`;

export function kafkaOption(): Option {
  return new Option(
    '--kafka <host:port,...>',
    'use the topics of this Kafka cluster instead of the state folder',
  ).argParser((text) => {
    const brokers = parseBrokers(text);
    if (brokers) return brokers;
    throw new InvalidArgumentError('Give brokers, such as localhost:9092; separate several with commas.');
  });
}

export function kafkaAuthOption(): Option {
  return new Option('--kafka-auth <how>', 'how to log in to Kafka (default: plaintext)').choices([
    'plaintext',
    'tls',
    'scram',
    'iam',
  ]);
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html (2026-11-27) */
export const BUCKET_NAME = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

/** The bucket of an s3:// address; undefined where it is none. */
export function bucketOf(address: string): string | undefined {
  const name = /^s3:\/\/([^/]+)\/?$/.exec(address)?.[1];
  return name !== undefined && BUCKET_NAME.test(name) ? name : undefined;
}

export function archiveOption(): Option {
  return new Option(
    '--archive <s3://bucket>',
    'keep the archive in this bucket, with your AWS login, instead of the state folder',
  ).argParser((text) => {
    const bucket = bucketOf(text);
    if (bucket) return bucket;
    throw new InvalidArgumentError('Give a bucket, such as s3://news-archive.');
  });
}

export function archiveEndpointOption(): Option {
  return new Option(
    '--archive-endpoint <url>',
    'where a store that answers as S3 does is, such as MinIO',
  ).argParser((text) => {
    if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
    throw new InvalidArgumentError('Give a URL, such as http://127.0.0.1:9000.');
  });
}

export function postgresOption(): Option {
  return new Option(
    '--postgres <url>',
    'use this PostgreSQL server as the sink; the password may be in PGPASSWORD. "millrace sql" does not query it',
  ).argParser(postgresUrl('--postgres', 'postgres://me@localhost:5432/news'));
}

/** Reads the URL of a PostgreSQL database. */
export function postgresUrl(flag: string, example: string): (text: string) => string {
  return (text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url && /^postgres(ql)?:$/.test(url.protocol) && url.pathname.length > 1) return text;
    // Commander's own complaint would quote it, with its password.
    throw new MillraceError(
      'INPUT_INVALID',
      `${flag} needs a URL with a database. Give one such as ${example}.`,
    );
  };
}

/** Where the topics are by the options. @throws INPUT_INVALID where what the login takes is missing */
export function storesOptions(
  { kafka, kafkaAuth, archive: bucket, archiveEndpoint: endpoint }: KafkaOptions & ArchiveOptions,
  env: Readonly<Record<string, string | undefined>> = process.env,
): StoresOptions {
  if (endpoint !== undefined && bucket === undefined) {
    throw new MillraceError(
      'INPUT_INVALID',
      '--archive-endpoint needs --archive, which names the bucket. Give both.',
    );
  }
  const archive =
    bucket === undefined ? {} : { archive: { bucket, ...(endpoint !== undefined && { endpoint }) } };
  if (kafka) return { kafka: kafkaConnection(kafka, kafkaAuth ?? 'plaintext', env), ...archive };
  if (kafkaAuth === undefined) return archive;
  throw new MillraceError(
    'INPUT_INVALID',
    '--kafka-auth needs --kafka, which says where Kafka is. Give both.',
  );
}

function kafkaConnection(
  brokers: readonly string[],
  kind: KafkaSecurity['kind'],
  env: Readonly<Record<string, string | undefined>>,
): KafkaConnection {
  if (kind === 'plaintext' || kind === 'tls') return { brokers, security: { kind } };
  if (kind === 'scram') {
    const { [USERNAME]: username, [PASSWORD]: password } = env;
    if (username && password) return { brokers, security: { kind, username, password } };
    throw new MillraceError(
      'INPUT_INVALID',
      `--kafka-auth scram needs a login, and ${username ? PASSWORD : USERNAME} is not set. Set ${USERNAME} and ${PASSWORD}.`,
    );
  }
  const region = regionOfBroker(brokers[0]!) ?? env.AWS_REGION;
  if (region) return { brokers, security: { kind, region } };
  throw new MillraceError(
    'INPUT_INVALID',
    `--kafka-auth iam needs a region, and the name of ${brokers[0]} does not contain one. Set AWS_REGION.`,
  );
}

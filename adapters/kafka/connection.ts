import { isIP } from 'node:net';
import type { Base, BaseOptions } from '@platformatic/kafka';
import { MillraceError } from '../../runtime/errors.ts';
import { hasApiError } from './kafka-errors.ts';

/** How the brokers are spoken to. Certificates are checked by Node's own list unless `ca` is given (PEM). */
export type KafkaSecurity =
  | { readonly kind: 'plaintext' }
  | { readonly kind: 'tls'; readonly ca?: string }
  /** SASL/SCRAM-SHA-512 over TLS, as MSK has it. */
  | { readonly kind: 'scram'; readonly username: string; readonly password: string; readonly ca?: string }
  /** MSK's IAM access control, over TLS, with the credentials of AWS's default chain. */
  | { readonly kind: 'iam'; readonly region: string; readonly ca?: string };

export interface KafkaConnection {
  /** Each `host:port`. */
  readonly brokers: readonly string[];
  /** @default plaintext */
  readonly security?: KafkaSecurity;
  /** What brokers call this client in their logs. @default 'millrace' */
  readonly clientId?: string;
}

/** Attempts of one look-up, fetch or commit before it is KAFKA_UNAVAILABLE: a new leader is usually there within them. */
const RETRIES = 5;

/**
 * How long a broker may take for one request: more than the 5 s that it waits for other replicas, and little enough that the
 * next broker is asked in time where one is there and says nothing.
 */
export const REQUEST_TIMEOUT_MS = 10_000;

/**
 * How long a producer or a reader goes by what it knows of leaders; Kafka's own clients do for as long
 * (https://kafka.apache.org/documentation/#producerconfigs_metadata.max.age.ms, 2026-11-26). A leader that moved says so,
 * and is looked up at once.
 */
export const METADATA_MAX_AGE_MS = 300_000;

/** What every client of one connection is made with. */
export function clientOptions({ brokers, security, clientId = 'millrace' }: KafkaConnection): BaseOptions {
  return {
    clientId,
    bootstrapBrokers: [...brokers],
    retries: RETRIES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    retryDelay: (client, _operation, attempt, _retries, error) => {
      // The client would ask the broker again that does not lead the partition any more.
      if (hasApiError(error, 'NOT_LEADER_OR_FOLLOWER', 'FENCED_LEADER_EPOCH'))
        (client as Base).clearMetadata();
      return retryDelayMs(attempt);
    },
    ...(security && securityOptions(security, brokers)),
  };
}

/** 50 ms, 100 ms, … up to a second, half of it at random: clients that failed together come back apart. */
function retryDelayMs(attempt: number): number {
  return Math.min(1_000, 50 * 2 ** Math.min(attempt - 1, 10)) * (0.5 + Math.random() / 2);
}

function securityOptions(
  security: KafkaSecurity,
  brokers: readonly string[],
): Pick<BaseOptions, 'tls' | 'tlsServerName' | 'sasl'> {
  if (security.kind === 'plaintext') return {};
  const tls = {
    tls: 'ca' in security && security.ca ? { ca: security.ca } : {},
    // RFC 6066, 3: a server's name is never an address.
    tlsServerName: !brokers.some((broker) => isIP(broker.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')) !== 0),
  };
  if (security.kind === 'tls') return tls;
  if (security.kind === 'scram') {
    const { username, password } = security;
    return { ...tls, sasl: { mechanism: 'SCRAM-SHA-512', username, password } };
  }
  // A function: the client asks for a token each time it logs in, and again before the broker ends the session.
  return { ...tls, sasl: { mechanism: 'OAUTHBEARER', token: () => iamToken(security.region) } };
}

async function iamToken(region: string): Promise<string> {
  try {
    const { generateAuthToken } = await import('aws-msk-iam-sasl-signer-js');
    return (await generateAuthToken({ region })).token;
  } catch (cause) {
    throw new MillraceError(
      'KAFKA_REFUSED',
      `Could not sign a token for MSK in ${region}: ${(cause as Error).message}. Log in to AWS, or correct AWS_PROFILE.`,
      { cause, details: { region } },
    );
  }
}

/** `host:port`, a comma between two; the port may be left out. Undefined where it is none of that. */
export function parseBrokers(text: string): readonly string[] | undefined {
  const brokers = text.split(',').map((broker) => broker.trim());
  const valid = brokers.every((broker) => {
    const [, port] = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?$/.exec(broker) ?? [broker, 'no'];
    return port === undefined || (Number(port) >= 1 && Number(port) <= 65_535);
  });
  return valid ? brokers.map((broker) => (/:\d+$/.test(broker) ? broker : `${broker}:9092`)) : undefined;
}

/** The region in the name of an MSK broker, such as b-1.news.abc123.c2.kafka.eu-west-1.amazonaws.com. */
export function regionOfBroker(broker: string): string | undefined {
  return /\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?(?::\d+)?$/.exec(broker)?.[1];
}

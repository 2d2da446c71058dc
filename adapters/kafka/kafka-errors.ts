/** What the client throws, as errors of the one table. */
import { isNativeError } from 'node:util/types';
import { type ErrorCode, MillraceError } from '../../runtime/errors.ts';

/** What the client's and Node's errors have: `apiId` is Kafka's name of the error, `response` what came with it. */
interface ClientError extends Error {
  readonly code?: string;
  readonly apiId?: string;
  readonly response?: unknown;
}

/** The error and all that it is made of, causes last. */
export function errorsIn(error: unknown): readonly ClientError[] {
  // Also those of another realm, which are no instances of this one's Error.
  if (!isNativeError(error)) return [];
  return [error, ...partsOf(error).flatMap(errorsIn), ...errorsIn(error.cause)];
}

function partsOf(error: Error): readonly unknown[] {
  return 'errors' in error && Array.isArray(error.errors) ? error.errors : [];
}

export function hasApiError(error: unknown, ...apiIds: readonly string[]): boolean {
  return errorsIn(error).some(({ apiId }) => apiId !== undefined && apiIds.includes(apiId));
}

/** Errors that a later try would meet again: a person has to change the settings, the login or its rights. */
const REFUSED_API =
  /_AUTHORIZATION_FAILED$|^SASL_AUTHENTICATION_FAILED$|^UNSUPPORTED_SASL_MECHANISM$|^ILLEGAL_SASL_STATE$/;
// Codes of OpenSSL's checks, and of Node's own: https://nodejs.org/api/tls.html#x509-certificate-error-codes (2026-11-25)
const REFUSED_TLS =
  /^ERR_(TLS|SSL)_|^CERT_|CERT_SIGNATURE|^UNABLE_TO_|^DEPTH_ZERO_SELF_SIGNED_CERT$|^SELF_SIGNED_CERT_IN_CHAIN$/;
const REFUSED_CLIENT = /^PLT_KFK_AUTHENTICATION$/;
// A handshake that was cut off is not among them: so a broker goes when it is restarted.
const REFUSED_MESSAGE = /^Broker requires TLS/;

/**
 * @param doing what was tried, as in "… could not be read"
 * @param where the topic or group it was tried on
 */
export function kafkaError(
  error: unknown,
  brokers: readonly string[],
  doing: string,
  details: Readonly<Record<string, unknown>> = {},
): MillraceError {
  const all = errorsIn(error);
  const ours = all.find((each) => each instanceof MillraceError);
  if (ours) return ours;
  const at = `Kafka at ${brokers.join(', ')}`;
  const make = (code: ErrorCode, message: string) =>
    new MillraceError(code, message, { cause: error, details: { ...details, brokers: brokers.join(',') } });

  if (hasApiError(error, 'UNKNOWN_TOPIC_OR_PARTITION', 'UNKNOWN_TOPIC_ID') || isUnknownTopic(all)) {
    const topic = details.topic === undefined ? 'A topic' : `Topic ${JSON.stringify(details.topic)}`;
    return make('TOPIC_UNKNOWN', `${topic} does not exist on ${at}. Create it first.`);
  }
  const reason = reasonOf(all);
  if (all.some(isRefusal)) {
    return make(
      'KAFKA_REFUSED',
      `${doing}: ${at} refused it: ${reason}. Correct the login, or its permissions.`,
    );
  }
  return make(
    'KAFKA_UNAVAILABLE',
    `${doing}: ${at} does not answer: ${reason}. Check the address, the login method, and that the brokers are up.`,
  );
}

function isUnknownTopic(errors: readonly ClientError[]): boolean {
  return errors.some(({ code, message }) => code === 'PLT_KFK_USER' && message.startsWith('Unknown topic'));
}

function isRefusal({ code = '', apiId = '', message }: ClientError): boolean {
  return (
    REFUSED_API.test(apiId) ||
    REFUSED_CLIENT.test(code) ||
    REFUSED_TLS.test(code) ||
    REFUSED_MESSAGE.test(message)
  );
}

/** The innermost errors' own words, each once: what wraps them only says how often it was tried. */
export function reasonOf(errors: readonly ClientError[]): string {
  const innermost = errors.filter(
    (error) => partsOf(error).length === 0 && errorsIn(error.cause).length === 0,
  );
  const words = innermost.map(({ message, code }) => message || code || 'no reason given');
  return [...new Set(words)].slice(-3).join('; ').replace(/\.$/, '') || 'no reason given';
}

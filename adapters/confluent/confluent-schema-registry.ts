import type { AvroSchema } from '../../runtime/avro/schema.ts';
import { type Contract, type ContractVersion, definitionsOf } from '../../runtime/contract/contract.ts';
import type { SchemaId, SchemaRegistrar } from '../../runtime/contract/registry.ts';
import { backOff } from '../../runtime/delivery/backoff.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock, Random } from '../../runtime/ports.ts';

export interface ConfluentConnection {
  /** Where the API begins: `http://localhost:8081`; of Apicurio `http://localhost:8080/apis/ccompat/v7`. */
  readonly url: string;
  /** Basic authentication. @default none */
  readonly login?: { readonly username: string; readonly password: string };
}

/** As AWS's clients have it: three attempts, and full jitter between them. */
const RETRY = { attempts: 3, baseMs: 100, maxMs: 2_000 };
const TIMEOUT_MS = 10_000;
const MEDIA_TYPE = 'application/vnd.schemaregistry.v1+json';

/** The registry's own codes: https://docs.confluent.io/platform/current/schema-registry/develop/api.html (2026-11-25). */
const SUBJECT_NOT_FOUND = 40401;
const SCHEMA_NOT_FOUND = 40403;

interface Answer {
  readonly status: number;
  /** What the registry says in JSON; empty where it is something else. */
  readonly body: { readonly id?: unknown; readonly schema?: unknown; readonly error_code?: unknown };
}

/**
 * A registry with Confluent's REST API: Confluent's own, Apicurio, Karapace, Redpanda. Ids are numbers, those of Confluent's
 * framing. A topic's subject is `<topic>-value` (TopicNameStrategy, the default of Confluent's serializers). A new
 * version is compared by the level that the registry has for the subject. Schemas with references to other subjects are
 * not followed: they are SCHEMA_INVALID. Keeps no cache: decoders and encoders do, and ask for an id once.
 */
export function createConfluentSchemaRegistry({
  url,
  login,
  clock,
  random,
}: ConfluentConnection & { readonly clock: Clock; readonly random: Random }): SchemaRegistrar {
  const base = url.replace(/\/+$/, '');
  const headers = {
    accept: MEDIA_TYPE,
    'content-type': MEDIA_TYPE,
    ...(login && {
      authorization: `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`,
    }),
  };

  async function tryOnce(path: string, definition?: string): Promise<Answer> {
    const body =
      definition === undefined ? {} : { method: 'POST', body: JSON.stringify({ schema: definition }) };
    const response = await fetch(`${base}${path}`, {
      ...body,
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    return { status: response.status, body: jsonOf(text) };
  }

  /** @throws REGISTRY_UNAVAILABLE when no attempt brought an answer that is the registry's own */
  async function ask(path: string, definition?: string): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      let problem: { reason: string; cause?: unknown };
      try {
        const answer = await tryOnce(path, definition);
        if (answer.status < 500 && answer.status !== 429) return answer;
        problem = { reason: `HTTP ${answer.status}` };
      } catch (cause) {
        problem = { reason: reasonOf(cause), cause };
      }
      if (attempt === RETRY.attempts) throw unavailable(base, problem);
      await backOff(attempt, RETRY, Number.POSITIVE_INFINITY, { clock, random });
    }
  }

  /** Undefined where the subject has none of the texts. */
  async function find(
    contract: Contract<never>,
    definitions: readonly string[],
  ): Promise<SchemaId | undefined> {
    for (const definition of definitions) {
      const { status, body } = await ask(subjectPath(contract), definition);
      if (status === 200 && isId(body.id)) return String(body.id);
      const isUnknown = body.error_code === SUBJECT_NOT_FOUND || body.error_code === SCHEMA_NOT_FOUND;
      if (status !== 404 || !isUnknown) throw unavailable(base, { reason: `HTTP ${status}` });
    }
    return undefined;
  }

  async function register(contract: Contract<never>, version: ContractVersion): Promise<SchemaId> {
    const definitions = definitionsOf(version);
    // Registering finds a version under its own text. One under another text would get a second version beside it.
    const known = definitions.length > 1 && (await find(contract, definitions));
    if (known) return known;
    const { status, body } = await ask(`${subjectPath(contract)}/versions`, definitions[0]);
    if (status === 200 && isId(body.id)) return String(body.id);
    if (status === 409 || status === 422) throw notTaken(contract, version.version, status);
    throw unavailable(base, { reason: `HTTP ${status}` });
  }

  return {
    async schemaById(id) {
      // A record's own bytes: anything else has no business in a path.
      if (!/^\d{1,10}$/.test(id)) return undefined;
      const { status, body } = await ask(`/schemas/ids/${id}`);
      if (status === 200 && typeof body.schema === 'string') return parseSchema(body.schema);
      // A 404 of somebody else, at a wrong path, must not make dead letters of all records.
      if (status === 404 && body.error_code === SCHEMA_NOT_FOUND) return undefined;
      throw unavailable(base, { reason: `HTTP ${status}` });
    },

    async latestId(contract) {
      const id = await find(contract, definitionsOf(contract.latest));
      if (id === undefined) throw unregistered(contract, base);
      return id;
    },

    async register(contract) {
      const ids: SchemaId[] = [];
      for (const version of contract.versions) ids.push(await register(contract, version));
      return ids;
    },
  };
}

function subjectPath({ name }: Contract<never>): string {
  return `/subjects/${encodeURIComponent(`${name}-value`)}`;
}

function jsonOf(text: string): Answer['body'] {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

function isId(id: unknown): id is number {
  return Number.isInteger(id);
}

/** What is no JSON, as a protobuf schema, is left for the Avro parser to refuse, as the record's error. */
function parseSchema(text: string): AvroSchema {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** fetch says "fetch failed", and its cause says why. */
function reasonOf(error: unknown): string {
  const { name, cause } = error as Error;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  return code ?? name;
}

function unregistered({ name, latest }: Contract<never>, registry: string): MillraceError {
  return new MillraceError(
    'SCHEMA_UNKNOWN',
    `Version ${latest.version} of ${JSON.stringify(name)} is not registered in the registry at ${registry}. Run ` +
      '`millrace contracts register`.',
    { details: { topic: name, version: latest.version, registry } },
  );
}

function notTaken({ name }: Contract<never>, version: number, status: number): MillraceError {
  const why =
    status === 409 ? 'it breaks the compatibility level of its subject' : 'it does not accept the schema';
  return new MillraceError(
    'CONTRACT_INCOMPATIBLE',
    `The registry refused version ${version} of ${JSON.stringify(name)}: ${why} (HTTP ${status}). The versions before it are ` +
      "registered. Compare the subject's versions and its level with the contract's.",
    { details: { topic: name, version, status } },
  );
}

function unavailable(
  registry: string,
  { reason, ...cause }: { readonly reason: string; readonly cause?: unknown },
): MillraceError {
  return new MillraceError(
    'REGISTRY_UNAVAILABLE',
    `The schema registry at ${registry} did not answer (${reason}). A consumer holds the partition and tries again. If it stays ` +
      'so, check the address including its path, and the login.',
    { ...cause, details: { registry, reason } },
  );
}

/** The option that puts an outside schema registry in the place of the one that follows from the contracts. */
import { Option } from 'commander';
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import type { Contract } from '../runtime/contract/contract.ts';
import type { SchemaRegistrar, SchemaRegistry } from '../runtime/contract/registry.ts';
import { MillraceError } from '../runtime/errors.ts';
import { loadApp } from './app.ts';

/** Which registry; `framing` is that of the topics whose ids it has. */
export type RegistryChoice =
  | { readonly framing: 'glue'; readonly name: string }
  | { readonly framing: 'confluent'; readonly url: string };

export interface RegistryOptions {
  readonly registry?: RegistryChoice;
}

const USERNAME = 'MILLRACE_REGISTRY_USERNAME';
const PASSWORD = 'MILLRACE_REGISTRY_PASSWORD';
const PREFIX = 'glue:';

export const REGISTRY_HELP = `
Without --registry, the CLI derives schema ids from the contracts. No other client
can read them. With --registry, ids come from a shared registry: glue:NAME, with
your AWS login, or the URL of a registry with Confluent's REST API; if that needs
a login, set ${USERNAME} and
${PASSWORD}. Only "millrace contracts register" registers
schemas. Give every command on a topic the same registry.`;

export function registryOption(): Option {
  return new Option(
    '--registry <where>',
    "take schema ids from this registry: glue:NAME, or a URL with Confluent's API",
  ).argParser(readRegistry);
}

/** @throws INPUT_INVALID. Commander's own complaint would quote the URL, with its password */
function readRegistry(text: string): RegistryChoice {
  if (/^glue:[\w$#.-]{1,255}$/.test(text)) return { framing: 'glue', name: text.slice(PREFIX.length) };
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash) {
    return { framing: 'confluent', url: url.href };
  }
  const login = url?.password ? ` Put the login into ${USERNAME} and ${PASSWORD}.` : '';
  throw new MillraceError(
    'INPUT_INVALID',
    `--registry does not name a schema registry. Give glue:NAME, or a URL such as http://localhost:8081.${login}`,
  );
}

/**
 * The registry that was chosen, for these topics; without a choice, the one that follows from the contracts.
 * @throws INPUT_INVALID where a topic's framing has other ids, or a login or a region is missing
 */
export async function openRegistry(
  choice: RegistryChoice | undefined,
  topics: readonly Contract<never>[],
): Promise<SchemaRegistry> {
  if (choice) {
    requireFraming(topics, choice.framing);
    return openRegistrar(choice);
  }
  const { createContractSchemaRegistry } = await import('../adapters/contract-schema-registry.ts');
  const { contracts } = await loadApp();
  return createContractSchemaRegistry(contracts);
}

/** @throws INPUT_INVALID where a topic has another framing, and so another kind of schema ids */
export function requireFraming(topics: readonly Contract<never>[], wanted: RegistryChoice['framing']): void {
  const foreign = topics.find(({ framing }) => framing !== wanted);
  if (!foreign) return;
  throw new MillraceError(
    'INPUT_INVALID',
    `${foreign.name} has ${foreign.framing} framing, and a ${wanted} registry gives other schema ids. Give another --registry; if the ` +
      'topic is still empty, you can also change `framing` in its defineTopic().',
    { details: { topic: foreign.name, framing: foreign.framing } },
  );
}

export async function openRegistrar(
  registry: RegistryChoice,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<SchemaRegistrar> {
  if (registry.framing === 'confluent') {
    const { createConfluentSchemaRegistry } = await import(
      '../adapters/confluent/confluent-schema-registry.ts'
    );
    const login = loginOf(env);
    return createConfluentSchemaRegistry({
      url: registry.url,
      ...(login && { login }),
      clock: systemClock,
      random: systemRandom,
    });
  }
  const { openGlueSchemaRegistrar } = await import('../adapters/aws/glue-schema-registrar.ts');
  return openGlueSchemaRegistrar(registry.name, systemClock);
}

function loginOf({
  [USERNAME]: username,
  [PASSWORD]: password,
}: Readonly<Record<string, string | undefined>>) {
  if (username && password) return { username, password };
  if (!username && !password) return undefined;
  throw new MillraceError(
    'INPUT_INVALID',
    `The registry's login needs ${USERNAME} and ${PASSWORD}, and ${username ? PASSWORD : USERNAME} is not set. Set both or neither.`,
  );
}

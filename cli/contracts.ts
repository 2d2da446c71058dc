import { relative } from 'node:path';
import { Command } from 'commander';
import {
  type ContractFolderProblem,
  checkContracts,
  contractsDirOf,
  findContract,
  generateContracts,
  requireSoundContracts,
} from '../adapters/files/contract-files.ts';
import type { Contract } from '../runtime/contract/contract.ts';
import type { SchemaId } from '../runtime/contract/registry.ts';
import { MillraceError } from '../runtime/errors.ts';
import { findAppRoot, loadApp } from './app.ts';
import { CommandFailed } from './command-failed.ts';
import { jsonOption } from './options.ts';
import { openRegistrar, type RegistryChoice, registryOption, requireFraming } from './registry-option.ts';
import { epilogue, plural, printJson, printLine, printNote, styled, table } from './terminal.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

const CHECK_EXAMPLE = `
Example:
  millrace contracts check

Reads contracts/<topic>/v1.avsc, v2.avsc … and schema.ts; needs no network. The
exit code is 1 when anything is wrong.`;

const GENERATE_EXAMPLE = `
Example:
  millrace contracts generate && git diff contracts`;

const LIST_EXAMPLE = `
Example:
  millrace contracts list --json | jq '.[].topic'`;

const REGISTER_EXAMPLE = `
Example:
  millrace contracts register --registry glue:millrace-dev
  millrace contracts register news.pageviews --registry http://localhost:8081

Runs "check" first, then registers the oldest version first. Versions that the
registry already has stay as they are. A deployment registers its contracts in the
environment's Glue registry by itself. With Confluent's API, the subject is
<topic>-value, and the registry applies the compatibility level of that subject.`;

const EXAMPLE = `
Example:
  millrace contracts check`;

export function contractsCommand(): Command {
  const check = new Command('check')
    .description(
      'Checks that every version parses, keeps the compatibility mode, has the key, and that schema.ts is up to date.',
    )
    .addOption(jsonOption('print one object with all problems'))
    .addHelpText('after', epilogue(CHECK_EXAMPLE))
    .action(async ({ json }: { json?: true }) => {
      const { root, contracts } = await loadApp();
      const problems = await checkContracts(contractsDirOf(root), contracts);
      if (json)
        printJson({ ok: problems.length === 0, contracts: contracts.map(({ name }) => name), problems });
      else printCheck(contracts, problems);
      if (problems.length > 0) throw new CommandFailed();
    });

  const generate = new Command('generate')
    .description("Writes each topic's schema.ts, its TypeScript types and schemas, from its .avsc files.")
    .addOption(jsonOption('print an array with an object a topic'))
    .addHelpText('after', epilogue(GENERATE_EXAMPLE))
    .action(async ({ json }: { json?: true }) => {
      // Not the app itself: this has to work while the contracts do not load.
      const generated = await generateContracts(contractsDirOf(findAppRoot()));
      if (json) printJson(generated);
      for (const { topic, path, outcome, problems } of generated) {
        if (!json && outcome) printLine(`${relative(process.cwd(), path)}: ${outcome}`);
        if (!json && !outcome) printLine(`${topic}: ${styled('red', 'not written')}`);
        if (!json) printProblems(problems);
      }
      if (generated.some(({ outcome }) => outcome === null)) throw new CommandFailed();
    });

  const list = new Command('list')
    .description('Lists the contracts and what each promises.')
    .addOption(jsonOption('print an array with an object a contract'))
    .addHelpText('after', epilogue(LIST_EXAMPLE))
    .action(async ({ json }: { json?: true }) => {
      const { contracts } = await loadApp();
      if (json) printJson(contracts.map(summaryOf));
      else printList(contracts);
    });

  const register = new Command('register')
    .description(
      "Registers every version of the contracts in a schema registry, and prints each one's schema id.",
    )
    .argument('[topics...]', "which contracts (default: all with the registry's framing)")
    .addOption(registryOption().makeOptionMandatory())
    .addOption(jsonOption('print an array with an object a version'))
    .addHelpText('after', epilogue(REGISTER_EXAMPLE))
    .action(
      async (topics: readonly string[], { registry, json }: { registry: RegistryChoice; json?: true }) => {
        const app = await loadApp();
        await requireSoundContracts(app);
        const registered = await registerIn(registry, chooseContracts(app.contracts, topics, registry));
        if (json) printJson(registered);
        else for (const { topic, version, id } of registered) printLine(`${topic} v${version}  ${id}`);
      },
    );

  return new Command('contracts')
    .description('Checks, generates, lists and registers contracts.')
    .addCommand(check)
    .addCommand(generate)
    .addCommand(list)
    .addCommand(register)
    .addHelpText('after', epilogue(EXAMPLE));
}

/** @throws TOPIC_UNKNOWN, INPUT_INVALID where a topic that is named has another framing, or none has this one */
function chooseContracts(
  all: readonly Contract<never>[],
  topics: readonly string[],
  { framing }: RegistryChoice,
): readonly Contract<never>[] {
  const chosen =
    topics.length > 0
      ? topics.map((topic) => findContract(all, topic))
      : all.filter((contract) => contract.framing === framing);
  if (chosen.length === 0) {
    throw new MillraceError(
      'INPUT_INVALID',
      `No contract has ${framing} framing, whose schema ids this registry gives. Set framing in a topic's defineTopic().`,
    );
  }
  requireFraming(chosen, framing);
  return chosen;
}

async function registerIn(choice: RegistryChoice, contracts: readonly Contract<never>[]) {
  const registrar = await openRegistrar(choice);
  const registered: { topic: string; version: number; id: SchemaId }[] = [];
  for (const contract of contracts) {
    const ids = await registrar.register(contract);
    for (const [index, { version }] of contract.versions.entries()) {
      registered.push({ topic: contract.name, version, id: ids[index]! });
    }
  }
  return registered;
}

function printCheck(contracts: readonly Contract<never>[], problems: readonly ContractFolderProblem[]): void {
  for (const { name, versions, compatibility } of contracts) {
    if (problems.some(({ topic }) => topic === name)) continue;
    printLine(`${styled('green', 'ok')}  ${name}: ${plural(versions.length, 'version')}, ${compatibility}`);
  }
  printProblems(problems);
  const causes = [...groupByCause(problems)].length;
  if (causes > 0) printNote(`${plural(causes, 'problem')}.`);
}

function printProblems(problems: readonly ContractFolderProblem[]): void {
  for (const line of problemLines(problems)) printLine(line);
}

/** One paragraph a cause: a change that breaks v3 for v1 breaks it for v2 as well. */
export function problemLines(problems: readonly ContractFolderProblem[]): readonly string[] {
  return [...groupByCause(problems)].map((alike) => {
    const { topic, path, code, rule, message } = alike[0]!;
    const names = (versions: readonly number[]) => versions.map((version) => `v${version}`);
    const pairs = alike.map(({ versions }) => versions);
    // Of a pair, the later version is the one that breaks the others.
    const versions =
      pairs.length === 1
        ? names(pairs[0]!).join(' → ')
        : `${names([...new Set(pairs.map(([from]) => from!))]).join(', ')} → ${names([...new Set(pairs.map((pair) => pair.at(-1)!))]).join(', ')}`;
    const where = [topic, versions, path].filter(Boolean).join(' ');
    return `${styled('red', code)}  ${where} (${rule})\n  ${message}`;
  });
}

function groupByCause(
  problems: readonly ContractFolderProblem[],
): Iterable<readonly ContractFolderProblem[]> {
  return Map.groupBy(problems, ({ topic, path, code, rule, message, versions }) =>
    JSON.stringify([topic, path, code, rule, message, versions.at(-1)]),
  ).values();
}

function summaryOf({
  name,
  owner,
  key,
  versions,
  compatibility,
  partitions,
  retentionMs,
  cleanup,
  framing,
  compression,
}: Contract<never>) {
  return {
    topic: name,
    owner,
    key: key as string,
    versions: versions.map(({ version }) => version),
    compatibility,
    partitions,
    retentionMs,
    cleanup,
    framing,
    compression,
  };
}

function printList(contracts: readonly Contract<never>[]): void {
  const titles = ['topic', 'owner', 'key', 'versions', 'compatibility', 'partitions', 'retention', 'framing'];
  const rows = contracts
    .map(summaryOf)
    .map((contract) => [
      contract.topic,
      contract.owner,
      contract.key,
      String(contract.versions.length),
      contract.compatibility,
      String(contract.partitions),
      contract.retentionMs === -1 ? 'for good' : `${Math.round(contract.retentionMs / DAY_MS)} days`,
      contract.framing,
    ]);
  printLine(
    table(
      titles.map((title) => ({ title })),
      rows,
    ),
  );
}

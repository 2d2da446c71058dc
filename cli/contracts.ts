import { relative } from 'node:path';
import { Command } from 'commander';
import type { Contract } from '../runtime/contract.ts';
import { CommandFailed } from './command-failed.ts';
import {
  CONTRACTS_DIR,
  type ContractFolderProblem,
  checkContracts,
  generateContracts,
} from './contract-files.ts';
import { jsonOption } from './options.ts';
import { plural, printJson, printLine, printNote, styled, table } from './terminal.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

const CHECK_EXAMPLE = `
Example:
  millrace contracts check

Looks at contracts/<topic>/v1.avsc, v2.avsc … and schema.ts; needs no network. The exit code is 1 when anything is wrong.`;

const GENERATE_EXAMPLE = `
Example:
  millrace contracts generate && git diff contracts`;

const LIST_EXAMPLE = `
Example:
  millrace contracts list --json | jq '.[].topic'`;

const EXAMPLE = `
Example:
  millrace contracts check`;

export function contractsCommand(): Command {
  const check = new Command('check')
    .description(
      'Checks that every version parses, keeps the compatibility mode, has the key, and that schema.ts is up to date.',
    )
    .addOption(jsonOption('print one object with all problems'))
    .addHelpText('after', CHECK_EXAMPLE)
    .action(async ({ json }: { json?: true }) => {
      const contracts = await loadContracts();
      const problems = await checkContracts(CONTRACTS_DIR, contracts);
      if (json)
        printJson({ ok: problems.length === 0, contracts: contracts.map(({ name }) => name), problems });
      else printCheck(contracts, problems);
      if (problems.length > 0) throw new CommandFailed();
    });

  const generate = new Command('generate')
    .description("Writes each topic's schema.ts, its TypeScript types and schemas, from its .avsc files.")
    .addOption(jsonOption('print an array with an object a topic'))
    .addHelpText('after', GENERATE_EXAMPLE)
    .action(async ({ json }: { json?: true }) => {
      const generated = await generateContracts(CONTRACTS_DIR);
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
    .addHelpText('after', LIST_EXAMPLE)
    .action(async ({ json }: { json?: true }) => {
      const contracts = await loadContracts();
      if (json) printJson(contracts.map(summaryOf));
      else printList(contracts);
    });

  return new Command('contracts')
    .description('Checks, generates and lists contracts.')
    .addCommand(check)
    .addCommand(generate)
    .addCommand(list)
    .addHelpText('after', EXAMPLE);
}

/** Imported only where needed: `generate` has to work while the contracts do not load. */
async function loadContracts(): Promise<readonly Contract<never>[]> {
  return (await import('../contracts/index.ts')).contracts;
}

function printCheck(contracts: readonly Contract<never>[], problems: readonly ContractFolderProblem[]): void {
  for (const { name, versions, compatibility } of contracts) {
    if (problems.some(({ topic }) => topic === name)) continue;
    printLine(`${styled('green', 'ok')}  ${name}: ${plural(versions.length, 'version')}, ${compatibility}`);
  }
  printProblems(problems);
  if (problems.length > 0) printNote(`${plural(problems.length, 'problem')}.`);
}

function printProblems(problems: readonly ContractFolderProblem[]): void {
  for (const { topic, versions, path, code, rule, message } of problems) {
    const where = [topic, versions.map((version) => `v${version}`).join(' → '), path]
      .filter(Boolean)
      .join(' ');
    printLine(`${styled('red', code)}  ${where} (${rule})\n  ${message}`);
  }
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

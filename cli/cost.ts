import { readFile } from 'node:fs/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Bill, Need, PriceList } from '../lib/cost/index.ts';
import { MillraceError } from '../runtime/errors.ts';
import { loadApp } from './app.ts';
import { checkEnvironment, jsonOption, wholeFrom } from './options.ts';
import { columnsOf, count, epilogue, printJson, printLine, styled, table, wrapped } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace cost --env prod
  millrace cost --env prod --events-per-second 20000 --bytes 800
  millrace cost --env prod --json | jq .total
  millrace cost --env prod --rebuild editorial-analytics
  millrace cost --env dev --prices eu-west-1.json

It counts what "cdk synth" would deploy, and asks nobody. --json prints the price list under "prices": write that to a file, correct it for your region, and pass it with --prices.

The rates of functions and database are those of our own benchmarks, the limits are AWS's: docs/scale.md names both.`;

interface CostOptions {
  readonly env: string;
  readonly eventsPerSecond: number;
  readonly bytes: number;
  readonly eventsPerRequest: number;
  readonly rebuild?: string;
  readonly prices?: string;
  readonly json?: true;
}

export function costCommand(): Command {
  return new Command('cost')
    .description(
      'Estimates what an environment costs a month, what would cost less, and which part gives first under a load.',
    )
    .addOption(new Option('--env <name>', 'the environment of millrace.config.ts').makeOptionMandatory())
    .addOption(
      new Option('--events-per-second <n>', 'events published to each topic, day and night')
        .default(50)
        .argParser(wholeUpTo(10_000_000)),
    )
    .addOption(
      new Option('--bytes <n>', 'an event, with its key and headers')
        .default(500)
        .argParser(wholeUpTo(1_000_000)),
    )
    .addOption(
      new Option('--events-per-request <n>', 'events that a request to the collector brings')
        .default(10)
        .argParser(wholeUpTo(10_000)),
    )
    .option('--rebuild <consumer>', 'with what a rebuild of its tables adds while it is under way')
    .option('--prices <file>', 'a price list of your own, as JSON')
    .addOption(jsonOption('print one object: lines, total, savings, needs, prices'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: CostOptions, command: Command) => {
      const app = await loadApp();
      checkEnvironment(command, options.env, app.environments);
      const { billOf, deploymentOf, fullness, needsOf, NOT_COUNTED, ...cost } = await loadEstimates();
      const { eventsPerSecond, bytes, eventsPerRequest } = options;
      const workload = { eventsPerSecond, bytes, eventsPerRequest };
      const prices = options.prices ? await readPrices(options.prices, cost.parsePriceList) : cost.US_EAST_1;
      const deployment = deploymentOf(app, app.root, options.env, options.rebuild);
      const bill = billOf(deployment, workload, prices);
      const needs = needsOf(deployment, workload);
      if (options.json) {
        const rounded = bill.lines.map((line) => ({ ...line, monthly: cents(line.monthly) }));
        const savings = bill.savings.map((saving) => ({ ...saving, monthly: cents(saving.monthly) }));
        printJson({
          environment: options.env,
          workload,
          lines: rounded,
          total: cents(bill.total),
          savings,
          needs: needs.map((need) => ({ ...need, used: fullness(need) })),
          prices,
        });
        return;
      }
      const columns = columnsOf();
      const say = (text = '', indent = 0) => {
        for (const line of wrapped(text, columns, indent)) printLine(line);
      };
      printLine(billTable(bill));
      printLine();
      say(
        `US dollars a month, ${prices.region}, ${eventsPerSecond.toLocaleString('en-US')} events a second of ${count(bytes)} bytes to each topic.`,
      );
      say(`Prices of ${prices.date}: ${prices.note}.`);
      say(`Not counted: ${NOT_COUNTED}.`);
      if (bill.savings.length > 0) {
        printLine();
        printLine(styled('bold', 'Each of these would save'));
        for (const { what, monthly } of bill.savings) say(`${dollars(monthly).padStart(8)}  ${what}`, 10);
      }
      printLine();
      printLine(styled('bold', 'What this load takes'));
      printLine(needsTable(needs, fullness));
      const [first] = needs;
      if (first) {
        printLine();
        const share = `${Math.round(fullness(first) * 100)}%`;
        const isOver = fullness(first) > 1;
        say(`First to give: ${first.part}, at ${share}${isOver ? ' of what there is' : ''}.`);
        say(`${isOver ? 'Change' : 'Change then'}: ${first.change}.`);
      }
    });
}

/** The CDK is loaded only here: who runs consumers elsewhere has none. */
async function loadEstimates() {
  try {
    return await import('../lib/cost/index.ts');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new MillraceError(
      'APP_INVALID',
      'millrace cost counts what the CDK would deploy, and aws-cdk-lib is not installed. Run npm install --save-dev aws-cdk-lib constructs esbuild.',
      { cause: error },
    );
  }
}

async function readPrices(path: string, parse: (text: string) => PriceList): Promise<PriceList> {
  try {
    return parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new MillraceError(
      'INPUT_INVALID',
      `--prices ${path} cannot be used: ${(error as Error).message}. "millrace cost --json" prints a price list under "prices".`,
      { cause: error },
    );
  }
}

function billTable({ lines, total }: Bill): string {
  return table(
    [{ title: 'part' }, { title: 'quantity' }, { title: 'a month', align: 'right' }],
    [
      ...lines.map(({ part, quantity, monthly }) => [part, quantity, dollars(monthly)]),
      [styled('bold', 'total'), '', styled('bold', dollars(total))],
    ],
  );
}

function needsTable(needs: readonly Need[], fullness: (need: Need) => number): string {
  const amount = (value: number | undefined) =>
    value === undefined ? '-' : value >= 10 ? count(Math.ceil(value)) : String(Number(value.toPrecision(2)));
  return table(
    [
      { title: 'part' },
      { title: 'needed', align: 'right' },
      { title: 'set', align: 'right' },
      { title: 'AWS at most', align: 'right' },
      { title: 'used', align: 'right' },
      { title: 'unit' },
    ],
    needs.map((need) => {
      const share = fullness(need);
      const used = share === 0 ? '-' : `${share < 0.01 ? '<1' : Math.round(share * 100)}%`;
      return [
        need.part,
        amount(need.needed),
        amount(need.set),
        amount(need.most),
        share > 1 ? styled('red', used) : used,
        need.unit,
      ];
    }),
  );
}

function wholeUpTo(most: number): (text: string) => number {
  const whole = wholeFrom(1);
  return (text) => {
    const value = whole(text);
    if (value <= most) return value;
    throw new InvalidArgumentError(`Give a whole number from 1 to ${most}.`);
  };
}

function dollars(usd: number): string {
  return usd < 10 ? usd.toFixed(2) : count(Math.round(usd));
}

function cents(usd: number): number {
  return Math.round(usd * 100) / 100;
}

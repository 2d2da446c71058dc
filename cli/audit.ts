import { Command, InvalidArgumentError } from 'commander';
import { type OffsetRange, sizeOf, within } from '../runtime/delivery/offset-ranges.ts';
import { MillraceError } from '../runtime/errors.ts';
import { auditPartition, type ConsumerAudit } from '../runtime/replay/audit.ts';
import { type EvidenceSources, gatherEvidence } from '../runtime/replay/evidence.ts';
import { offsetBehind } from '../runtime/replay/time-bounds.ts';
import { loadApp } from './app.ts';
import { auditLines } from './audit-view.ts';
import { CommandFailed } from './command-failed.ts';
import { consumerNamed } from './consumers.ts';
import { envOption } from './environment-session.ts';
import { type EvidenceOptions, openEvidence } from './evidence-session.ts';
import { checkEnvironment, jsonOption, readTime, stateOption } from './options.ts';
import {
  archiveEndpointOption,
  archiveOption,
  kafkaAuthOption,
  kafkaOption,
  postgresOption,
} from './outside-options.ts';
import { epilogue, plural, printJson, printLine, printNote } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace audit editorial-analytics
  millrace audit editorial-analytics --from 2026-11-24T10:00Z --to 2h
  millrace audit editorial-analytics --env prod
  millrace audit editorial-analytics --json | jq .unaccounted

An offset is unaccounted if the group has passed it and nothing says what became
of its record. Offsets that the consumer has not reached yet are not counted.

Exit codes: 0 if every offset is accounted for, 2 if one is not.

It works beside a running "millrace up" and changes nothing.`;

/** Found something that must not be. */
const UNACCOUNTED = 2;

/** A bound of the audit: the same offset in each partition, or a time. */
type Bound = { readonly offset: number } | { readonly timestampMs: number };

interface AuditOptions extends EvidenceOptions {
  readonly from?: Bound;
  readonly to?: Bound;
  readonly json?: true;
}

export function auditCommand(): Command {
  return new Command('audit')
    .description('Accounts for every offset of a consumer: applied, or what else became of its record.')
    .argument('<consumer>', 'the consumer')
    .addOption(stateOption())
    .addOption(envOption())
    .option('--from <time|offset>', 'the first to account for (default: the consumer’s first)', bound)
    .option('--to <time|offset>', 'where to end, not included (default: as far as the consumer is)', bound)
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(postgresOption())
    .addOption(archiveOption())
    .addOption(archiveEndpointOption())
    .addOption(jsonOption('print {consumer, topic, unaccounted, partitions}'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (name: string, options: AuditOptions, command: Command) => {
      checkOrder(options);
      const app = await loadApp();
      const consumer = consumerNamed(name, app.consumers);
      if (options.env !== undefined) checkEnvironment(command, options.env, app.environments);
      const session = await openEvidence(options);
      try {
        const {
          audit: found,
          redriving,
          neverThere,
        } = await auditConsumer(await session.sourcesOf(consumer), options);
        const audit = { ...found, consumer: name };
        if (options.json) printJson(audit);
        else for (const line of auditLines(audit, options, neverThere)) printLine(line);
        if (redriving > 0 && audit.unaccounted > 0) {
          printNote(
            `${plural(redriving, 'dead letter')} of ${name} is being redriven, and may count as unaccounted. Audit again when that has ended.`,
          );
        }
        if (audit.unaccounted > 0) throw new CommandFailed(UNACCOUNTED);
      } finally {
        await session.close();
      }
    });
}

async function auditConsumer(
  sources: EvidenceSources,
  bounds: Pick<AuditOptions, 'from' | 'to'>,
): Promise<{
  readonly audit: ConsumerAudit;
  readonly redriving: number;
  /** How many of the unaccounted offsets the log never had. */
  readonly neverThere: number;
}> {
  const { consumer, log } = sources;
  const { partitions, redriving } = await gatherEvidence(sources);
  const audits = await Promise.all(
    partitions.map(async (facts) => {
      const of = { topic: consumer.topic.name, partition: facts.partition };
      const window: OffsetRange = {
        from: bounds.from ? await firstOffset(bounds.from, (ms) => log.offsetAt(of, ms)) : 0,
        to: bounds.to
          ? await firstOffset(bounds.to, (ms) => offsetBehind(log, of, ms, facts.end))
          : Number.MAX_SAFE_INTEGER,
      };
      return auditPartition(facts, window);
    }),
  );
  const unaccounted = audits.reduce((sum, each) => sum + each.unaccounted, 0);
  const neverThere = audits.reduce(
    (sum, { ranges }, at) =>
      sum + sizeOf(within(ranges.unaccounted, { from: partitions[at]!.end, to: Number.MAX_SAFE_INTEGER })),
    0,
  );
  return {
    audit: { consumer: consumer.name, topic: consumer.topic.name, unaccounted, partitions: audits },
    redriving,
    neverThere,
  };
}

/** A time and an offset can be compared in no partition but each of its own. @throws INPUT_INVALID */
function checkOrder({ from, to }: Pick<AuditOptions, 'from' | 'to'>): void {
  if (!from || !to) return;
  const pair =
    'offset' in from && 'offset' in to
      ? ([from.offset, to.offset] as const)
      : 'timestampMs' in from && 'timestampMs' in to
        ? ([from.timestampMs, to.timestampMs] as const)
        : undefined;
  if (!pair || pair[0] < pair[1]) return;
  const [first, last] = 'offset' in from ? pair : pair.map((ms) => new Date(ms).toISOString());
  const which = 'offset' in from ? 'an offset' : 'a time';
  throw new MillraceError(
    'INPUT_INVALID',
    `--from is ${first} and --to is ${last}, so there is nothing to account for. Give a --to that is ${which} after --from, or leave it out.`,
    { details: { from: first, to: last } },
  );
}

function firstOffset(of: Bound, byTime: (timestampMs: number) => Promise<number>): Promise<number> | number {
  return 'offset' in of ? of.offset : byTime(of.timestampMs);
}

function bound(text: string): Bound {
  if (/^\d{1,15}$/.test(text)) return { offset: Number(text) };
  const timestampMs = readTime(text);
  if (timestampMs !== undefined) return { timestampMs };
  throw new InvalidArgumentError(
    'Give a time such as 2h, which counts back from now, or 2026-11-24T10:00Z; or an offset, such as 1200.',
  );
}

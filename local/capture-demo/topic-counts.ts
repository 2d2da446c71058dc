import type { LogReader } from '../../runtime/topics.ts';

export interface TopicCounts {
  counts(): { readonly inTopics: number; readonly duplicates: number };
  /** Reads what has come since the last look. */
  look(): Promise<void>;
}

/** Reads topics of tables from their start, and counts the changes that are there twice. */
export function openTopicCounts(log: LogReader, topics: readonly string[]): TopicCounts {
  const next = new Map<string, number>();
  const seen = new Set<string>();
  let [inTopics, duplicates] = [0, 0];
  const take = (topic: string, key: Buffer | null, value: Buffer | null) => {
    inTopics++;
    if (!value) return;
    const { op, source } = JSON.parse(value.toString()) as {
      readonly op: string;
      readonly source: { readonly lsn: number | null };
    };
    // Rows of an incremental snapshot have no position, and may well be read twice.
    if (op === 'r' || source.lsn === null) return;
    const identity = `${topic} ${key?.toString() ?? ''} ${op} ${source.lsn}`;
    if (seen.has(identity)) duplicates++;
    else seen.add(identity);
  };
  return {
    counts: () => ({ inTopics, duplicates }),
    async look() {
      for (const topic of topics) {
        for (let partition = 0; partition < (await log.partitions(topic)); partition++) {
          const of = { topic, partition };
          const { start, end } = await log.bounds(of);
          for (let from = Math.max(start, next.get(`${topic}/${partition}`) ?? 0); from < end; ) {
            const records = await log.read(of, from, Math.min(2_000, end - from));
            for (const { key, value } of records) take(topic, key, value);
            const last = records.at(-1);
            if (!last) break;
            from = last.offset + 1;
            next.set(`${topic}/${partition}`, from);
          }
        }
      }
    },
  };
}

import type { Query } from '../../local/capture-demo/compare.ts';

/** Follows the LSN of each key from one run of the warehouse to the next. */
export function watchPositions(tables: readonly string[]) {
  const [ours, naive] = [new Map<string, bigint>(), new Map<string, bigint>()];
  const fallen: string[] = [];
  let runs = 0;
  let naivelyFallen = 0;
  return {
    async look(query: Query): Promise<void> {
      runs++;
      for (const table of tables) {
        const rows = await query(
          `select _cdc_key, cast(_cdc_lsn as varchar) from analytics_staging.${table}_rows where _cdc_key not like '!%'`,
        );
        for (const [key, lsn] of rows) {
          if (isOlder(ours, `${table} ${key}`, lsn)) fallen.push(`${table} ${key}`);
        }
        // What MAX(kafka_offset) per key would have shown of the same records.
        const byOffset = await query(
          `select _cdc_key, cast(max_by(_cdc_lsn, _cdc_offset) as varchar) from analytics_staging.stg_${table}
            where _cdc_lsn is not null and _cdc_key is not null group by 1`,
        );
        for (const [key, lsn] of byOffset) if (isOlder(naive, `${table} ${key}`, lsn)) naivelyFallen++;
      }
    },
    runs: () => runs,
    /** Keys whose row went back in time. */
    fallen: () => fallen,
    /** How often a key's row would have, by the greatest offset. */
    naivelyFallen: () => naivelyFallen,
  };
}

function isOlder(seen: Map<string, bigint>, key: string, lsn: string | null | undefined): boolean {
  if (lsn === null || lsn === undefined) return false;
  const before = seen.get(key);
  const now = BigInt(lsn);
  if (before === undefined || now >= before) seen.set(key, now);
  return before !== undefined && now < before;
}

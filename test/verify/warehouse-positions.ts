import type { Query } from '../../local/capture-demo/compare.ts';

/** Follows the LSN of each key from one run of the warehouse to the next. */
export function watchPositions(tables: readonly string[]) {
  const seen = new Map<string, bigint>();
  const fallen: string[] = [];
  let runs = 0;
  return {
    async look(query: Query): Promise<void> {
      runs++;
      for (const table of tables) {
        const rows = await query(
          `select _cdc_key, cast(_cdc_lsn as varchar) from analytics_staging.${table}_rows where _cdc_key not like '!%'`,
        );
        for (const [key, lsn] of rows) {
          if (isOlder(seen, `${table} ${key}`, lsn)) fallen.push(`${table} ${key}`);
        }
      }
    },
    runs: () => runs,
    /** Keys whose row went back in time. */
    fallen: () => fallen,
  };
}

function isOlder(seen: Map<string, bigint>, key: string, lsn: string | null | undefined): boolean {
  if (lsn === null || lsn === undefined) return false;
  const before = seen.get(key);
  const now = BigInt(lsn);
  if (before === undefined || now >= before) seen.set(key, now);
  return before !== undefined && now < before;
}

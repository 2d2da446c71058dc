import type { AuditRow, Page, PageQuery } from '../../console/operations.ts';
import type { ConsoleContext } from './context.ts';

export async function readAudit(_query: PageQuery, _context: ConsoleContext): Promise<Page<AuditRow>> {
  return { items: [], total: 0, next: null, asOf: Date.now(), problem: null };
}

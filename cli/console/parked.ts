import type { Page, PageQuery, ParkedKey } from '../../console/operations.ts';
import type { ConsoleContext } from './context.ts';

export async function listParked(_query: PageQuery, _context: ConsoleContext): Promise<Page<ParkedKey>> {
  return { items: [], total: 0, next: null, asOf: Date.now(), problem: null };
}

/** Pages of a list that is in memory as a whole. */
import type { Page, PageQuery } from '../../console/operations.ts';
import { MillraceError } from '../../runtime/errors.ts';

const PAGE_ITEMS = 50;

/**
 * The items that hold the word, from the cursor on. A cursor is how many went before: what comes in between two pages moves the
 * rest by one, which a person sees and a program does not rely on.
 * @param textOf what of an item is searched: no more than is shown of it
 * @throws INPUT_INVALID where the cursor is none
 */
export function pageOf<Item>(
  items: readonly Item[],
  { search, cursor = '0', limit = PAGE_ITEMS }: PageQuery,
  textOf: (item: Item) => string,
): Pick<Page<Item>, 'items' | 'total' | 'next'> {
  if (!/^\d{1,9}$/.test(cursor))
    throw new MillraceError(
      'INPUT_INVALID',
      'The cursor is not one of this list. Begin with its first page again, without a cursor.',
    );
  const word = search?.trim().toLowerCase() ?? '';
  const found = word === '' ? items : items.filter((item) => textOf(item).toLowerCase().includes(word));
  const from = Number(cursor);
  const end = from + limit;
  return {
    items: found.slice(from, end),
    total: found.length,
    next: end < found.length ? String(end) : null,
  };
}

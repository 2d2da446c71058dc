import type { StatusAnswer } from '../operations.ts';
import type { Session } from './api.ts';
import type { Reach } from './live.ts';
import type { Location } from './place.ts';

/** What every page is given. */
export interface PageProps {
  readonly session: Session;
  readonly location: Location;
  /** The newest sample of all consumers; null before the first. Old while the server does not answer. */
  readonly status: StatusAnswer | null;
  readonly reach: Reach;
  /** What the URL's path holds behind the page's name, decoded. */
  readonly rest: readonly string[];
}

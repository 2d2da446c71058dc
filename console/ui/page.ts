import type { StatusAnswer } from '../operations.ts';
import type { Session } from './api.ts';
import type { Location } from './place.ts';

/** What every page is given. */
export interface PageProps {
  readonly session: Session;
  readonly location: Location;
  /** The newest look; null before the first, and while the server does not answer. */
  readonly status: StatusAnswer | null;
  /** What the URL's path holds behind the page's name, decoded. */
  readonly rest: readonly string[];
}

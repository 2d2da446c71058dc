import { defineTopic } from '../../runtime/contract/contract.ts';
import { type Pageview, versions } from './schema.ts';

/** Who read what, when and for how long. One article's pageviews stay in order. */
export const pageviews = defineTopic<Pageview>({
  name: 'news.pageviews',
  owner: 'audience-data',
  key: 'contentId',
  identity: 'eventId',
  versions,
});

import { pageviews } from '../../contracts/news.pageviews/topic.ts';
import type { CollectLimits } from '../../runtime/publish/collect.ts';

/** Every topic that the collector takes events for, from whoever is outside. What is not listed here it answers with 404. */
export const collected = [pageviews] as const;

/** What a request may be, here and on AWS. */
export const limits: CollectLimits = {};

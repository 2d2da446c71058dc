import { pageviews } from './news.pageviews/topic.ts';

/** Every contract of this repository. What is not listed here has no topic and is not checked. */
export const contracts = [pageviews] as const;

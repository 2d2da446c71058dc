import { pageFunction } from '../page-function.ts';

export const handler = pageFunction();

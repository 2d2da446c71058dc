import { operatorFunction } from '../operator-function.ts';

export const handler = operatorFunction();

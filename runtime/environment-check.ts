/** Refuses a setting of an environment that is not allowed, naming the field, what it got and what it takes. */
export type Check = (field: string, got: unknown, isAllowed: boolean, allowed: string) => void;

export const java: { find(): string | undefined };

export declare const java: { find(): string | undefined };

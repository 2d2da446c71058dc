export declare const java: { find(): string | undefined };
export declare const jdk: { find(): string | undefined };

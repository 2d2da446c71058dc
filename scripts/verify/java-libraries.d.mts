export declare const JAVA_PRODUCER: { readonly artifacts: readonly string[]; readonly bill: string };

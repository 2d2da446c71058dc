export declare const PYTHON_PRODUCER: readonly string[];

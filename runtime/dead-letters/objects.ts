export interface StoredObject {
  readonly key: string;
  /** Epoch milliseconds. */
  readonly storedAt: number;
  readonly bytes: number;
}

/** Objects by key, as S3 has them. Every method throws OBJECT_STORE_UNAVAILABLE when the store does not answer. */
export interface ObjectStore {
  /** Durable, and seen by every later `get` and `list`, when it resolves. Replaces an object of that key. */
  put(key: string, body: Buffer): Promise<void>;
  get(key: string): Promise<Buffer | undefined>;
  /** Objects whose keys begin with `prefix`, in the order of their keys' UTF-8 bytes. */
  list(prefix: string): AsyncIterable<StoredObject>;
  /** One that is not there is no error. */
  delete(keys: readonly string[]): Promise<void>;
}

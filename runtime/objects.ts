export interface StoredObject {
  readonly key: string;
  /** Epoch milliseconds. */
  readonly storedAt: number;
  readonly bytes: number;
}

/** What stands beside an object's body, up to 2 KB in all: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html (2026-11-27) */
export type ObjectMetadata = Readonly<Record<string, string>>;

/** Objects by key, as S3 has them. Every method throws OBJECT_STORE_UNAVAILABLE when the store does not answer. */
export interface ObjectStore {
  /** Durable, and seen by every later `get` and `list`, when it resolves. Replaces an object of that key. */
  put(key: string, body: Buffer): Promise<void>;
  /**
   * As `put`, and leaves an object of that key alone: false where there is one. Of several at once, one gets true. A writer
   * whose request was answered late may find its own object.
   */
  create(key: string, body: Buffer, metadata: ObjectMetadata): Promise<boolean>;
  get(key: string): Promise<Buffer | undefined>;
  /** The object with what stands beside it, by one request. */
  open(key: string): Promise<{ readonly body: Buffer; readonly metadata: ObjectMetadata } | undefined>;
  /** Undefined where there is no such object. Names are lower case. */
  metadata(key: string): Promise<ObjectMetadata | undefined>;
  /**
   * Objects whose keys begin with `prefix`, in the order of their keys' UTF-8 bytes.
   * @param after lists keys behind this one alone. @param pageSize how many are asked for at a time. @default 1,000
   */
  list(
    prefix: string,
    options?: { readonly after?: string; readonly pageSize?: number },
  ): AsyncIterable<StoredObject>;
  /** What stands between `prefix` and the next "/" in the keys that begin with it, in order, each once. */
  folders(prefix: string): AsyncIterable<string>;
  /** One that is not there is no error. */
  delete(keys: readonly string[]): Promise<void>;
}

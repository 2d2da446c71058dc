/**
 * For a client of the SDK's: how long one attempt of a request may wait for a connection, and for its answer. Left without
 * `throwOnRequestTimeout` the client only warns then, and waits on:
 * https://github.com/smithy-lang/smithy-typescript/blob/main/packages/types/src/http/httpHandlerInitialization.ts (2026-11-25)
 */
export function requestTimeouts(requestTimeoutMs: number) {
  return {
    requestHandler: {
      connectionTimeout: 2_000,
      requestTimeout: requestTimeoutMs,
      throwOnRequestTimeout: true,
    },
  };
}

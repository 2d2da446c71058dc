/**
 * The credentials of a function's role, which Lambda keeps in the environment:
 * https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime (2026-11-26)
 *
 * In a function's bundle this module stands for the two packages by which the SDK looks for credentials, and has their
 * names: they try files, other processes and the network as well, and are half of a client.
 */
const provider = () => async () => {
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '', AWS_SESSION_TOKEN } = process.env;
  return {
    accessKeyId: AWS_ACCESS_KEY_ID,
    secretAccessKey: AWS_SECRET_ACCESS_KEY,
    ...(AWS_SESSION_TOKEN !== undefined && { sessionToken: AWS_SESSION_TOKEN }),
  };
};

/** Of `@aws-sdk/credential-provider-node`. */
export const defaultProvider = provider;
/** Of `@aws-sdk/credential-providers`. */
export const fromNodeProviderChain = provider;

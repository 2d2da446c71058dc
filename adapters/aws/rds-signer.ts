/** What signs a function's logins to RDS: `#rds` is this module here, and a file beside a function's own there (lib/constructs/bundle-parts.ts). */
export { Signer } from '@aws-sdk/rds-signer';
